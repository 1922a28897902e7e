import { create } from "@bufbuild/protobuf";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { OperationFilterSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { CancellationCoordinator } from "../cancellation/cancellation-coordinator.ts";
import { activeOperations } from "./active-operations.ts";
import { cancellationRequested } from "./cancellation-delivery.ts";
import { CallError } from "./errors.ts";
import type { KnownOperation, OwnOperation, PeersOperation } from "./known-operation.ts";
import type { LiveOperation } from "./live-operation.ts";
import type { OperationControl } from "./operation-executor.ts";
import type { OperationRegistry } from "./operation-registry.ts";
import { endedSnapshot, hasEnded } from "./operation-snapshot.ts";
import type { OperationStore } from "./operation-store.ts";
import { pause } from "./pause.ts";
import type { Standing } from "./standing.ts";

/** How often a request is written anew after another writer of the store was faster. */
const casAttempts = 5;

/** What cancelling needs to know beside the operation. */
export interface CancelContext {
  readonly registry: OperationRegistry;
  readonly store: OperationStore;
  readonly standing: Standing;
  readonly coordinator: CancellationCoordinator;
  readonly control: OperationControl;
  readonly now: () => number;
  /** How long another server may take to answer, in milliseconds. */
  readonly callTimeoutMs: number;
}

/**
 * Asks one operation to stop, after its children. Resolves when the request is stored and the first attempt to deliver
 * it is over. An operation that has ended is left as it is.
 */
export async function cancelKnown(
  context: CancelContext,
  known: KnownOperation,
  reason: string,
  force: boolean,
): Promise<void> {
  switch (known.kind) {
    case "own":
      return cancelOwn(context, known, reason, force);
    case "peers":
      return cancelPeers(context, known, reason, force);
    case "ended":
      return;
  }
}

async function cancelOwn(context: CancelContext, own: OwnOperation, reason: string, force: boolean): Promise<void> {
  const { registry, coordinator, now } = context;
  const { operation, refresh, delivery } = own;
  const { operationId, executor } = operation;
  await cancelChildren(context, operationId, reason, force);
  if (force) {
    // Nobody asks for the work's metrics any more once it is cut off.
    await Promise.race([refresh.drain(), pause(context.callTimeoutMs)]).catch(() => {});
  }
  const retentionMs = registry.retentionMs(operation.stored);
  const isWithdrawn = waitsForItsTurn(operation) && executor?.withdraw(operationId, false) !== false;
  try {
    await operation.change((current) => {
      const requested = cancellationRequested(current, reason, now());
      const isIdle = isWithdrawn && waitsForItsTurn(operation);
      if (isIdle || force) {
        const info = endedSnapshot(requested, { status: "cancelled", forced: !isIdle }, retentionMs, now());
        return { info, cutOff: !isIdle };
      }
      return requested === current ? undefined : { info: requested };
    });
  } catch (error) {
    if (isWithdrawn) {
      // The caller is told that nothing was cancelled, so it is to run.
      executor?.dispatch(operation.stored, context.control, { origin: operation.origin, again: false });
    }
    throw error;
  }
  if (force) {
    executor?.withdraw(operationId, true);
  }
  if (registry.active(operationId)) {
    coordinator.cancel(operationId, operation.info.cancellation?.reason ?? reason);
  }
  await delivery.deliver();
  // A child that was stored in the meantime may not have seen that its parent is being cancelled; later ones do.
  await cancelChildren(context, operationId, reason, force);
}

/** Nothing works on it: it has not begun, or is to be run again after its process was lost. */
function waitsForItsTurn({ info, source, executor, stored }: LiveOperation): boolean {
  switch (info.status) {
    case OperationStatus.PENDING:
      return true;
    case OperationStatus.RUNNING:
      return source === undefined && executor?.recover(stored).outcome === "restartable";
    default:
      return false;
  }
}

/** Has the owner do it; if that cannot be asked, writes the request where the owner, or whoever follows it, finds it. */
async function cancelPeers(
  context: CancelContext,
  peers: PeersOperation,
  reason: string,
  force: boolean,
): Promise<void> {
  const { operation, refresh } = peers;
  const signal = AbortSignal.timeout(context.callTimeoutMs);
  const delivery = await operation.source.cancel({ reason, force, signal });
  if (delivery.outcome === "delivered") {
    await refresh.refresh(0, false);
    return;
  }
  await operation.reload(delivery.reason);
  if (!operation.isOver) {
    await cancelChildren(context, operation.info.operationId, reason, force);
    await writeRequest(context, operation.info.operationId, reason, force);
    await operation.reload(delivery.reason);
  }
}

/** Writes into the record of another server's operation that it is to stop; with `force`, that it has ended. */
async function writeRequest(context: CancelContext, operationId: string, reason: string, force: boolean) {
  const { store, registry, now } = context;
  for (let attempt = 0; attempt < casAttempts; attempt++) {
    const stored = await store.get(operationId);
    if (!stored || hasEnded(stored.info) || (stored.info.cancellation && !force)) {
      return;
    }
    const requested = cancellationRequested(stored.info, reason, now());
    const info = force
      ? {
          ...endedSnapshot(requested, { status: "cancelled", forced: true }, registry.retentionMs(stored), now()),
          metricsCursor: BigInt((await store.metricsLog(operationId)).cursor),
        }
      : requested;
    const { revision: expectedRevision, status: expectedStatus } = stored.info;
    // The owner stays: it still has to end the work.
    const operation = { ...stored, info };
    const expected = { expectedRevision, expectedStatus, expectedOwner: stored.owner };
    if ((await store.replace([{ operation, ...expected, byOther: true }])).has(operationId)) {
      return;
    }
  }
  throw new CallError("CONCURRENT_CHANGE", `operation ${operationId} is being changed by others`, { operationId });
}

async function cancelChildren(context: CancelContext, operationId: string, reason: string, force: boolean) {
  const { registry, standing } = context;
  const cancel = (child: KnownOperation) => cancelKnown(context, child, reason, force);
  if (!standing.isShared) {
    await Promise.all(registry.childrenOf(operationId).map(cancel));
    return;
  }
  const filter = create(OperationFilterSchema, { parentOperationId: operationId });
  for await (const children of activeOperations(context, filter)) {
    await Promise.all(children.map(cancel));
  }
}
