import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { CreateOperationRequest, OperationFilter } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { MetricRecord } from "../progress/metric-record.ts";
import type { OperationCondition } from "./operation-condition.ts";

/**
 * Where operations survive the process. Every promise resolves only after what it says is durable.
 *
 * A store holds no rules: it compares revisions and owners, and the registry decides what may follow what. Where it
 * cannot be read or written, its methods reject with a CallError STORE_UNAVAILABLE. A write that rejects may have been
 * done all the same, its answer being what was lost.
 */
export interface OperationStore {
  /** Why it cannot be written just now, for people. Undefined while it can. */
  readonly trouble: string | undefined;
  /**
   * Inserts a new operation, unless its operation_id or its request's non-empty request_id is taken; then answers the
   * operation that holds it and changes nothing.
   */
  create(operation: StoredOperation): Promise<CreateOutcome>;
  /** One operation. */
  get(operationId: string): Promise<StoredOperation | undefined>;
  /** Those of the operations that exist, in any order. */
  getMany(operationIds: readonly string[]): Promise<StoredOperation[]>;
  /**
   * Gives up to `limit` operations whose owner is gone to the claim's owner, the oldest first, and answers them as they
   * are then. Gone is every other owner that is not entered as an instance. Each is given to one claimant only; those
   * that somebody is just writing are passed over, so fewer than `limit` does not mean that none are left.
   */
  claim(claim: Claim, limit: number): Promise<StoredOperation[]>;
  /** Ids of the operations that are the owner's. */
  ownedBy(owner: string): Promise<string[]>;
  /** Ends the ownership of an operation that has ended, if it is still that owner's. */
  release(operationId: string, owner: string): Promise<void>;
  /** The owner's operations that somebody else has changed; see `OperationChange.byOther`. */
  changedByOthers(owner: string): Promise<string[]>;
  /**
   * Replaces operations whose stored revision, status and owner are still the expected ones, all in one transaction. Answers
   * the ids of those that were replaced; the others are left as they are.
   */
  replace(changes: readonly OperationChange[]): Promise<Set<string>>;
  /**
   * Up to `limit` operations that match both, newest first over (created_at, operation_id), beginning after `after`.
   * What is stored decides.
   */
  list(
    filter: OperationFilter,
    after: PageKey | undefined,
    limit: number,
    condition?: OperationCondition,
  ): Promise<ListedOperation[]>;
  /**
   * How many operations match both, by status and type. By types and statuses alone it may cost the same however many
   * there are; else the cost is in proportion to what matches, and what has to be looked at for that.
   */
  count(filter: OperationFilter, condition?: OperationCondition): Promise<OperationCount[]>;
  /**
   * Appends records to an operation's log and replaces its summary, in one transaction. Records the log has already
   * are skipped, so that a repeated append does nothing. Does not touch the operation's revision. False, and nothing is
   * done, when the operation is not the owner's or has ended.
   */
  appendMetrics(append: MetricsAppend): Promise<boolean>;
  /** The log's end. A cursor of 0 and an empty summary when there is none. */
  metricsLog(operationId: string): Promise<MetricsLog>;
  /** Up to `limit` records with a sequence greater than `cursor`, oldest first. */
  readMetrics(operationId: string, cursor: number, limit: number): Promise<MetricRecord[]>;
  /**
   * Removes up to `limit` operations whose expires_at is at or before `now`, with their labels and metrics, and leaves
   * a tombstone for each until `tombstoneUntil`; also drops tombstones that are due. Answers the ids. Milliseconds.
   */
  expire(now: number, limit: number, tombstoneUntil: number): Promise<string[]>;
  /** Removes one operation if its stored revision is still the expected one, without a tombstone. */
  delete(operationId: string, expectedRevision: bigint): Promise<boolean>;
  /** When an operation that is gone expired, in milliseconds since the epoch. Undefined when there is no tombstone. */
  expiredAt(operationId: string): Promise<number | undefined>;
  /** Ends everything; later calls reject. Safe to repeat. */
  close(): Promise<void>;
}

/** An operation as it is stored. */
export interface StoredOperation {
  /** The snapshot; its revision is the stored revision. */
  readonly info: OperationInfo;
  /** The request that made it, for dispatch, restart and retry. */
  readonly request: CreateOperationRequest;
  /** Digest of the request's payload, to tell a repeated call from another one. */
  readonly payloadHash: string;
  /** The host has accepted it, or the work has been begun in the owner's process. */
  readonly dispatched: boolean;
  /**
   * Instance id of the server that has something left to do for it: to run or watch it, or, when it has ended, to cut
   * its work off. Nobody else may change the record, but to ask for its end. Empty when nothing is left to do.
   */
  readonly owner: string;
  /** The trace of the call that made it, as a W3C traceparent. Unset when it belonged to none. Never changes. */
  readonly traceparent?: string;
}

/** A replacement of one stored operation. */
export interface OperationChange {
  /** The new state, with its new revision. Only info, dispatched and owner may differ from what is stored. */
  readonly operation: StoredOperation;
  /** The revision that must be stored now. */
  readonly expectedRevision: bigint;
  /** The status that must be stored now. */
  readonly expectedStatus: OperationStatus;
  /** The owner that must be stored now. */
  readonly expectedOwner: string;
  /** Another server than the owner changes it, which the owner is to learn. Default false. */
  readonly byOther?: boolean;
}

/** Who takes over operations, and which. */
export interface Claim {
  /** Instance id of the claimant. */
  readonly owner: string;
  /** Types the claimant serves; these it takes. */
  readonly operationTypes: readonly string[];
  /** Types that only other servers serve; these it leaves to them. It takes what nobody serves. */
  readonly otherTypes: readonly string[];
}

/** Records to append to the log of one operation. */
export interface MetricsAppend {
  readonly operationId: string;
  /** The owner that must be stored now. */
  readonly owner: string;
  /** Oldest first, without gaps. */
  readonly records: readonly MetricRecord[];
  /** The registry's summary of the log that results. */
  readonly summary: Uint8Array;
}

/** An operation in a list. */
export interface ListedOperation {
  readonly info: OperationInfo;
  /** As `StoredOperation.owner`. */
  readonly owner: string;
}

/** What became of a create. */
export type CreateOutcome =
  | { readonly created: true }
  | { readonly created: false; readonly conflict: "operation_id" | "request_id"; readonly existing: StoredOperation };

/** The position of an operation in a list. */
export interface PageKey {
  /** created_at, in milliseconds since the epoch. */
  readonly createdAtMs: number;
  /** Breaks ties. */
  readonly operationId: string;
}

/** The position of an operation. */
export function pageKeyOf({ createdAt, operationId }: OperationInfo): PageKey {
  return { createdAtMs: createdAt ? timestampMs(createdAt) : 0, operationId };
}

/** One line of a count. */
export interface OperationCount {
  readonly status: OperationStatus;
  readonly operationType: string;
  readonly count: number;
}

/** The end of a metrics log. */
export interface MetricsLog {
  /** Sequence of the newest record. */
  readonly cursor: number;
  /** Encoded summary of all records; the registry's own form. */
  readonly summary: Uint8Array;
}
