import type { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { MetricKind } from "../progress/metric-record.ts";

/**
 * The tables of a store, the same in every database. Times are milliseconds since the epoch. A driver answers int8 as
 * number and bytes as Uint8Array. The revision may be larger than a number holds: it is written and compared, but never
 * selected, because the snapshot has it.
 */
export interface StoreTables {
  operations: OperationsTable;
  operation_labels: OperationLabelsTable;
  operation_counts: OperationCountsTable;
  metric_logs: MetricLogsTable;
  metric_records: MetricRecordsTable;
  dropped_metric_logs: DroppedMetricLogsTable;
  tombstones: TombstonesTable;
  instances: InstancesTable;
}

/** The messages of an operation, with what is searched for in columns. */
interface OperationsTable {
  operation_id: string;
  operation_type: string;
  status: OperationStatus;
  /** Null when there is none. */
  parent_operation_id: string | null;
  /** Never changes: it is half of the position in lists. */
  created_at: number;
  completed_at: number | null;
  expires_at: number | null;
  revision: bigint;
  /** Unique; null when the request has none. */
  request_id: string | null;
  payload_hash: string;
  /** 0 or 1. */
  dispatched: number;
  /** Null when nothing is left to do. */
  owner: string | null;
  /** 1 when somebody else has changed it and the owner has not written since, else 0. */
  changed_by_other: number;
  /** Null when the creating call belonged to no trace. */
  traceparent: string | null;
  /** A binary OperationInfo. */
  info: Uint8Array;
  /** A binary CreateOperationRequest. */
  request: Uint8Array;
}

/** The labels an operation was created with. They never change. */
export interface OperationLabelsTable {
  operation_id: string;
  key: string;
  value: string;
  /** That of the operation, so that one index finds a label's operations newest first. */
  created_at: number;
}

/** How many operations there are of a type and status. Only in databases with one writer at a time. */
interface OperationCountsTable {
  operation_type: string;
  status: OperationStatus;
  /** May be 0. */
  operations: number;
}

/** The end of an operation's metrics log, from its first record on. */
interface MetricLogsTable {
  operation_id: string;
  /**
   * Names the log's records. It is not the operation's id, because the records of a dropped log are removed in steps,
   * while another operation may already have the id.
   */
  log_id: string;
  /** Sequence of the newest record. */
  cursor: number;
  summary: Uint8Array;
}

/** The records of all logs, each log's together. */
interface MetricRecordsTable {
  log_id: string;
  sequence: number;
  attempt: number;
  /** A double: it comes from the work as it is. */
  recorded_at: number;
  kind: MetricKind;
  payload: Uint8Array;
}

/** Logs whose operation is gone and whose records are not yet. */
interface DroppedMetricLogsTable {
  log_id: string;
  /** Sequence of the newest record that has been removed. */
  removed_to: number;
  /** Sequence of the newest record. */
  cursor: number;
}

/** Operations that are gone because they expired. */
interface TombstonesTable {
  operation_id: string;
  /** The operation's expires_at. */
  expired_at: number;
  /** When the tombstone itself goes. */
  kept_until: number;
}

/** Servers that share the store, while they are alive. Empty where none can share it. */
interface InstancesTable {
  instance_id: string;
  /** Where the others reach it. */
  url: string;
  /** A JSON array of the types it serves. */
  operation_types: string;
  /** Until when it counts as alive, by the database's clock. */
  lease_until: number;
}
