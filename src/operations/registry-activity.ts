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
  // Without a text for each operation to find its count by: there may be very many.
  const counts = new Map<string, Map<OperationStatus, number>>();
  let waiters = 0;
  for (const { operation, watch } of registry.own) {
    const { operationType, status } = operation.info;
    let ofType = counts.get(operationType);
    if (ofType === undefined) {
      ofType = new Map();
      counts.set(operationType, ofType);
    }
    ofType.set(status, (ofType.get(status) ?? 0) + 1);
    waiters += watch.waiters;
  }
  for (const { watch } of registry.followed) {
    waiters += watch.waiters;
  }
  const active = [...counts].flatMap(([operationType, ofType]) =>
    [...ofType].map(([status, count]) => ({ operationType, status, count })),
  );
  return { active, waiters };
}
