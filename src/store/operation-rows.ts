import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { type OperationInfo, OperationInfoSchema, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { CreateOperationRequestSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { StoredOperation } from "../operations/operation-store.ts";
import type { OperationRow, StoredRow } from "./stored-columns.ts";

/** The statuses of operations that have not ended. */
export const activeStatuses: readonly OperationStatus[] = [OperationStatus.PENDING, OperationStatus.RUNNING];

/** The row of an operation. */
export function rowFromOperation({
  info,
  request,
  payloadHash,
  dispatched,
  owner,
  traceparent,
}: StoredOperation): OperationRow {
  return {
    operation_id: info.operationId,
    operation_type: info.operationType,
    status: info.status,
    parent_operation_id: info.parentOperationId || null,
    created_at: millisecondsOf(info.createdAt) ?? 0,
    completed_at: millisecondsOf(info.completedAt),
    expires_at: millisecondsOf(info.expiresAt),
    revision: info.revision,
    request_id: request.requestId || null,
    payload_hash: payloadHash,
    dispatched: dispatched ? 1 : 0,
    owner: owner || null,
    changed_by_other: 0,
    traceparent: traceparent ?? null,
    info: toBinary(OperationInfoSchema, info),
    request: toBinary(CreateOperationRequestSchema, request),
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
