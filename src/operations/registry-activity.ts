import type { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { OperationRegistry } from "./operation-registry.ts";

/** What a registry has in hand at a moment. */
export interface RegistryActivity {
  /** Operations that it owns and that have not ended, by type and status. */
  readonly active: readonly ActiveCount[];
  /** Callers that wait for an operation to change. */
  readonly waiters: number;
}

/** How many operations are of a type and status. */
export interface ActiveCount {
  readonly operationType: string;
  readonly status: OperationStatus;
  readonly count: number;
}

/** Counts what a registry has in hand; takes time in proportion to that. */
export function registryActivity(registry: OperationRegistry): RegistryActivity {
  const counts = new Map<string, { operationType: string; status: OperationStatus; count: number }>();
  let waiters = 0;
  for (const { operation, watch } of registry.own) {
    const { operationType, status } = operation.info;
    const key = `${status} ${operationType}`;
    const entry = counts.get(key) ?? { operationType, status, count: 0 };
    entry.count += 1;
    counts.set(key, entry);
    waiters += watch.waiters;
  }
  for (const { watch } of registry.followed) {
    waiters += watch.waiters;
  }
  return { active: [...counts.values()], waiters };
}
