import { type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { LiveOperation } from "./live-operation.ts";
import { operationError } from "./operation-errors.ts";
import type { OperationExecutor } from "./operation-executor.ts";
import type { OperationRegistry, TrackedOperation } from "./operation-registry.ts";
import { endedSnapshot, staleSnapshot } from "./operation-snapshot.ts";
import type { OperationStore, StoredOperation } from "./operation-store.ts";
import type { RunControl } from "./run-control.ts";

/** What recovering needs. */
export interface RecoveryContext {
  readonly store: OperationStore;
  readonly registry: OperationRegistry;
  readonly control: RunControl;
  readonly executors: ReadonlyMap<string, OperationExecutor>;
  readonly executorForHost: (url: string) => OperationExecutor;
  readonly now: () => number;
}

/**
 * Takes up every operation that had not ended when the server stopped.
 *
 * What a host runs is attached again. What never began is dispatched. What ran in the process that died is run again
 * if its orchestrator allows that, CANCELLED if somebody had asked for it, and otherwise FAILED with PROCESS_RESTARTED.
 */
export async function recoverOperations(context: RecoveryContext): Promise<void> {
  for (const stored of await context.store.loadActive()) {
    const tracked = context.registry.track(stored, await context.store.metricsLog(stored.info.operationId));
    await recover(context, tracked, stored);
  }
}

async function recover(context: RecoveryContext, tracked: TrackedOperation, stored: StoredOperation): Promise<void> {
  const { executors, executorForHost, control, now } = context;
  const { operation, delivery } = tracked;
  const executor = stored.info.host ? executorForHost(stored.info.host) : executors.get(stored.info.operationType);
  operation.executor = executor;
  if (!stored.dispatched && executor) {
    executor.dispatch(stored, control, { origin: operation.origin, again: true });
    return;
  }
  const recovery = executor?.recover(stored) ?? { outcome: "lost" };
  if (recovery.outcome === "attached") {
    operation.source = recovery.source;
    await operation.observe((current) => staleSnapshot(current, "not asked yet since the server was started", now()));
    control.armTimeout(operation);
    void delivery.deliver();
  } else if (recovery.outcome === "restartable" && executor && !stored.info.cancellation) {
    executor.dispatch(stored, control, { origin: operation.origin, again: true });
  } else {
    await settleLost(context, operation);
  }
}

async function settleLost({ registry, now }: RecoveryContext, operation: LiveOperation): Promise<void> {
  const retentionMs = registry.retentionMs(operation.stored);
  const began = operation.info.status === OperationStatus.RUNNING;
  const error = operationError(
    "PROCESS_RESTARTED",
    began
      ? "the process that ran the operation was restarted"
      : "the server was restarted and no longer serves the operation's type",
  );
  const end = (current: OperationInfo) =>
    current.cancellation
      ? endedSnapshot(current, { status: "cancelled", forced: began }, retentionMs, now())
      : endedSnapshot(current, { status: "failed", error }, retentionMs, now());
  await operation.change((current) => ({ info: end(current) }));
}
