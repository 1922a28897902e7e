import { createRegistry, type JsonObject, type JsonValue, toJson } from "@bufbuild/protobuf";
import {
  type Any,
  AnySchema,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { file_longhaul_v1_metrics } from "../../gen/longhaul/v1/metrics_pb.ts";
import {
  file_longhaul_v1_operation,
  type OperationInfo,
  OperationInfoSchema,
} from "../../gen/longhaul/v1/operation_pb.ts";

/** Types whose Any can be shown as JSON. */
const anyTypes = createRegistry(
  file_google_rpc_error_details,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
  file_longhaul_v1_metrics,
  file_longhaul_v1_operation,
);

/** An operation as protobuf JSON. An Any of a type that is not known here is `{"@type", "value"}` with base64. */
export function operationJson({ result, error, ...rest }: OperationInfo): JsonObject {
  const json = toJson(OperationInfoSchema, {
    ...rest,
    ...(error && { error: { ...error, details: [] } }),
  }) as JsonObject;
  return {
    ...json,
    ...(error?.details.length && {
      error: { ...(json["error"] as JsonObject), details: error.details.map(anyJson) },
    }),
    ...(result && { result: anyJson(result) }),
  };
}

/** An Any as protobuf JSON; as above when its type is not known. */
export function anyJson(any: Any): JsonValue {
  try {
    return toJson(AnySchema, any, { registry: anyTypes });
  } catch {
    return { "@type": any.typeUrl, value: Buffer.from(any.value).toString("base64") };
  }
}
