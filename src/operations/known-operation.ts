import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import type { CancellationDelivery } from "./cancellation-delivery.ts";
import type { ChangeWatch } from "./change-watch.ts";
import type { FollowedOperation } from "./followed-operation.ts";
import type { LiveOperation } from "./live-operation.ts";
import type { StoredOperation } from "./operation-store.ts";
import type { PollAdvice } from "./poll-advice.ts";
import type { RefreshOnRead } from "./refresh-on-read.ts";

/** An operation that this server owns and that has not ended, with the parts that act on it. */
export interface OwnOperation {
  readonly kind: "own";
  readonly operation: LiveOperation;
  readonly refresh: RefreshOnRead;
  readonly watch: ChangeWatch;
  readonly advice: PollAdvice;
  readonly delivery: CancellationDelivery;
}

/** An operation that another server owns and that has not ended. */
export interface PeersOperation {
  readonly kind: "peers";
  readonly operation: FollowedOperation;
  readonly refresh: RefreshOnRead;
  readonly watch: ChangeWatch;
  readonly advice: PollAdvice;
}

/** An operation that has ended. */
export interface EndedOperation {
  readonly kind: "ended";
  readonly stored: StoredOperation;
  /** When the store was asked for it or had just taken it, in milliseconds since the epoch; it may be deleted since. */
  readonly seenAtMs: number;
}

/** An operation as this server knows it. */
export type KnownOperation = OwnOperation | PeersOperation | EndedOperation;

/** The newest snapshot known here. */
export function infoOf(known: KnownOperation): OperationInfo {
  return known.kind === "ended" ? known.stored.info : known.operation.info;
}

/** Another server has it now: what is known here does not count any more, and the registry knows better. */
export function hasMoved(known: KnownOperation): boolean {
  return known.kind !== "ended" && known.operation.hasMoved;
}
