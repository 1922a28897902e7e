import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { CancellationCoordinator } from "../cancellation/cancellation-coordinator.ts";
import { cancellationRequested } from "./cancellation-delivery.ts";
import type { OperationRegistry, TrackedOperation } from "./operation-registry.ts";
import { endedSnapshot } from "./operation-snapshot.ts";

/** What cancelling needs to know beside the operation. */
export interface CancelContext {
  readonly registry: OperationRegistry;
  readonly coordinator: CancellationCoordinator;
  readonly now: () => number;
}

/**
 * Asks one operation to stop, after its children. Resolves when the request is stored and the first attempt to deliver
 * it is over.
 */
export async function cancelTracked(
  context: CancelContext,
  tracked: TrackedOperation,
  reason: string,
  force: boolean,
): Promise<void> {
  const { registry, coordinator, now } = context;
  const { operation, delivery } = tracked;
  await Promise.all(
    registry.childrenOf(operation.operationId).map((child) => cancelTracked(context, child, reason, force)),
  );
  const { source } = operation;
  const retentionMs = registry.retentionMs(operation.stored);
  await operation.change((current) => {
    const requested = cancellationRequested(current, reason, now());
    const neverBegan =
      current.status === OperationStatus.PENDING && operation.executor?.withdraw(operation.operationId) !== false;
    if (neverBegan || force) {
      return {
        info: endedSnapshot(requested, { status: "cancelled", forced: !neverBegan }, retentionMs, now()),
      };
    }
    return requested === current ? undefined : { info: requested };
  });
  if (registry.active(operation.operationId)) {
    coordinator.cancel(operation.operationId, reason);
  }
  if (force && source) {
    void delivery.cutOff(source, reason);
  } else {
    await delivery.deliver();
  }
}
