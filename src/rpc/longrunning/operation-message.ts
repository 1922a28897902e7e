import { create, fromJson } from "@bufbuild/protobuf";
import { type Any, anyPack, EmptySchema, StructSchema } from "@bufbuild/protobuf/wkt";
import { type Operation, OperationSchema } from "../../../gen/google/longrunning/operations_pb.ts";
import { Code } from "../../../gen/google/rpc/code_pb.ts";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { type Status, StatusSchema } from "../../../gen/google/rpc/status_pb.ts";
import { type OperationInfo, OperationInfoSchema, OperationStatus } from "../../../gen/longhaul/v1/operation_pb.ts";
import { hasEnded } from "../../operations/operation-snapshot.ts";
import { errorDomain } from "../call-errors.ts";
import { nameFromId } from "./operation-name.ts";
import { withSortedKeys } from "./sorted-keys.ts";

const knownCodes: ReadonlySet<number> = new Set(Object.values(Code));

/**
 * An operation as google.longrunning tells of it. As long as nothing visible changes, it is the same to the byte:
 * observed_at is left out and maps are sorted. It is done only when it has ended, so not while it is being cancelled.
 */
export function operationFromInfo(info: OperationInfo): Operation {
  const operation = create(OperationSchema, {
    name: nameFromId(info.operationId),
    metadata: anyPack(OperationInfoSchema, metadataOf(info)),
    done: hasEnded(info),
  });
  switch (info.status) {
    case OperationStatus.COMPLETED:
      operation.result = { case: "response", value: responseOf(info) };
      break;
    case OperationStatus.FAILED:
      operation.result = { case: "error", value: failureOf(info) };
      break;
    case OperationStatus.CANCELLED:
      operation.result = { case: "error", value: cancellationOf(info) };
      break;
  }
  return operation;
}

function metadataOf(info: OperationInfo): OperationInfo {
  const { metadata, progress, resultSummary, freshness } = info;
  const stable = { ...info, labels: withSortedKeys(info.labels) as Record<string, string> };
  if (metadata?.parameters) {
    stable.metadata = { ...metadata, parameters: withSortedKeys(metadata.parameters) };
  }
  if (progress?.context) {
    stable.progress = { ...progress, context: withSortedKeys(progress.context) };
  }
  if (resultSummary) {
    stable.resultSummary = withSortedKeys(resultSummary);
  }
  if (freshness) {
    const { observedAt: _, ...lasting } = freshness;
    stable.freshness = lasting;
  }
  return stable;
}

/** The typed result, or else the summary, or else Empty: clients expect one of any type. */
function responseOf({ result, resultSummary }: OperationInfo): Any {
  if (result) {
    return result;
  }
  return resultSummary
    ? anyPack(StructSchema, fromJson(StructSchema, withSortedKeys(resultSummary)))
    : anyPack(EmptySchema, create(EmptySchema));
}

/** Hosts may send any number as the code. OK would be no error, and others are none to clients. */
function failureOf({ error }: OperationInfo): Status {
  const { code = Code.UNKNOWN, message = "", reason = "OPERATION_FAILED", details = [] } = error ?? {};
  const errorInfo = create(ErrorInfoSchema, { domain: errorDomain, reason });
  return create(StatusSchema, {
    code: code !== Code.OK && knownCodes.has(code) ? code : Code.UNKNOWN,
    message: message || "the operation failed",
    details: [anyPack(ErrorInfoSchema, errorInfo), ...details],
  });
}

function cancellationOf({ cancellation }: OperationInfo): Status {
  return create(StatusSchema, {
    code: Code.CANCELLED,
    message: cancellation?.reason || "the operation was cancelled",
  });
}
