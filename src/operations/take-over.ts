import { type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { CutOffs } from "./cut-offs.ts";
import type { LiveOperation } from "./live-operation.ts";
import { operationError } from "./operation-errors.ts";
import type { OperationExecutor } from "./operation-executor.ts";
import type { OperationRegistry } from "./operation-registry.ts";
import { endedSnapshot, hasEnded, staleSnapshot } from "./operation-snapshot.ts";
import type { OperationStore, StoredOperation } from "./operation-store.ts";
import type { RunControl } from "./run-control.ts";
import type { Standing } from "./standing.ts";

/** Operations taken over at the same time. */
const batch = 250;

/** What taking over needs. */
export interface TakeOverContext {
  readonly store: OperationStore;
  readonly standing: Standing;
  readonly registry: OperationRegistry;
  readonly control: RunControl;
  readonly cutOffs: CutOffs;
  readonly executors: ReadonlyMap<string, OperationExecutor>;
  readonly executorForHost: (url: string) => OperationExecutor | Promise<OperationExecutor>;
  readonly now: () => number;
}

/**
 * Takes over every operation whose server is gone: this one's own from before its restart, or another's. Answers how
 * many operations there were.
 */
export async function takeOver(context: TakeOverContext): Promise<number> {
  const { store, standing, executors } = context;
  let count = 0;
  for (;;) {
    const claim = {
      owner: standing.instanceId,
      operationTypes: [...executors.keys()],
      otherTypes: standing.otherTypes,
    };
    const claimed = await store.claim(claim, batch);
    await Promise.all(claimed.map((stored) => recover(context, stored)));
    count += claimed.length;
    if (claimed.length === 0) {
      return count;
    }
  }
}

/** Sets going what is stored as this server's without its knowing: the answer to a create or a claim was lost. */
export async function recoverForgotten(context: TakeOverContext): Promise<void> {
  const { store, standing, registry } = context;
  const ids = (await store.ownedBy(standing.instanceId)).filter((id) => !registry.isLookedAfter(id));
  for (let from = 0; from < ids.length; from += batch) {
    const forgotten = await store.getMany(ids.slice(from, from + batch));
    await Promise.all(forgotten.map((stored) => recover(context, stored)));
  }
}

/**
 * Sets an operation going that this server has come to own.
 *
 * What a host runs is attached again. What never began is dispatched. What ran in the process that died is run again
 * if its orchestrator allows that, CANCELLED if somebody had asked for it, and otherwise FAILED with PROCESS_RESTARTED.
 * Work that was to be cut off still is. What cannot be stored at once is tried again: nobody else has the operation.
 */
export async function recover(context: TakeOverContext, stored: StoredOperation): Promise<void> {
  const { store, standing, registry, executors, executorForHost, control, now } = context;
  const { operationId, operationType, host } = stored.info;
  if (hasEnded(stored.info)) {
    await recoverCutOff(context, stored);
    return;
  }
  const executor = host ? await executorForHost(host) : executors.get(operationType);
  const log = await control.untilStored(operationId, "the log", () => store.metricsLog(operationId));
  // Somebody else may have set it going, or this server may have been taken for dead itself.
  if (stored.owner !== standing.instanceId || registry.isLookedAfter(operationId)) {
    return;
  }
  const { operation, delivery } = registry.track(stored, log);
  operation.executor = executor;
  if (!stored.dispatched && executor) {
    if (host) {
      // The process that is gone may have told why it waited, under a revision that it never stored.
      await operation.observe((current) =>
        staleSnapshot(current, "not given to its host since it was taken over", now()),
      );
    }
    executor.dispatch(stored, control, { origin: operation.origin, again: true });
    return;
  }
  // Of a type that has been routed to a host since, the process that is gone ran it all the same.
  const recovery = executor && executor.host === host ? executor.recover(stored) : { outcome: "lost" as const };
  if (recovery.outcome === "attached") {
    operation.source = recovery.source;
    await operation.observe((current) => staleSnapshot(current, "not asked yet since it was taken over", now()));
    control.watchTimeout(operation);
    void delivery.deliver();
  } else if (recovery.outcome === "restartable" && executor && !stored.info.cancellation) {
    // The process that is gone may have told of more than it has stored.
    await operation.observe((current) => staleSnapshot(current, "it waits to be run again", now()));
    executor.dispatch(stored, control, { origin: operation.origin, again: true });
  } else {
    await control.untilStored(operationId, "the end", () => settleLost(context, operation));
  }
}

/** Work in a process that is gone needs no cutting off. */
async function recoverCutOff({ cutOffs, executorForHost }: TakeOverContext, stored: StoredOperation): Promise<void> {
  const { host } = stored.info;
  const executor = host === "" ? undefined : await executorForHost(host);
  const recovery = executor?.recover(stored);
  cutOffs.begin(stored, recovery?.outcome === "attached" ? recovery.source : undefined);
}

async function settleLost({ registry, now }: TakeOverContext, operation: LiveOperation): Promise<void> {
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
