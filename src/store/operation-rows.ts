import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { type OperationInfo, OperationInfoSchema, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { CreateOperationRequestSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { StoredOperation } from "../operations/operation-store.ts";
import type { ChangedRow, OperationRow, StoredRow } from "./stored-columns.ts";

/** The statuses of operations that have not ended. */
export const activeStatuses: readonly OperationStatus[] = [OperationStatus.PENDING, OperationStatus.RUNNING];

/** The row of a new operation. */
export function rowFromOperation(operation: StoredOperation): OperationRow {
  const { info, request, payloadHash, traceparent } = operation;
  return {
    ...changedRow(operation, false),
    parent_operation_id: info.parentOperationId || null,
    created_at: millisecondsOf(info.createdAt) ?? 0,
    request_id: request.requestId || null,
    payload_hash: payloadHash,
    traceparent: traceparent ?? null,
    request: toBinary(CreateOperationRequestSchema, request),
  };
}

/** What is written of an operation that has changed. `byOther`: by somebody else than its owner. */
export function changedRow({ info, dispatched, owner }: StoredOperation, byOther: boolean): ChangedRow {
  return {
    operation_id: info.operationId,
    operation_type: info.operationType,
    status: info.status,
    completed_at: millisecondsOf(info.completedAt),
    expires_at: millisecondsOf(info.expiresAt),
    revision: info.revision,
    dispatched: dispatched ? 1 : 0,
    owner: owner || null,
    changed_by_other: byOther ? 1 : 0,
    info: toBinary(OperationInfoSchema, info),
  };
}

/** The operation of a row. */
export function operationFromRow(row: StoredRow): StoredOperation {
  return {
    info: infoFromRow(row),
    request: fromBinary(CreateOperationRequestSchema, row.request),
    payloadHash: row.payload_hash,
    dispatched: row.dispatched === 1,
    owner: row.owner ?? "",
    ...(row.traceparent !== null && { traceparent: row.traceparent }),
  };
}

/** The snapshot of a row. */
export function infoFromRow(row: { readonly info: Uint8Array }): OperationInfo {
  return fromBinary(OperationInfoSchema, row.info);
}

function millisecondsOf(timestamp: Timestamp | undefined): number | null {
  return timestamp === undefined ? null : timestampMs(timestamp);
}
