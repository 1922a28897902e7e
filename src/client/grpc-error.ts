import { fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Metadata, ServiceError } from "@grpc/grpc-js";
import { type Status, StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { headersFromMetadata } from "./grpc-metadata.ts";

/** What grpc-js wraps the reason of a failed connect in; the reason alone is for people. */
const connectFailure = /^No connection established\. Last error: (?:Error: )?(.+?)\.? Resolution note:/;

/**
 * A failed grpc-js call as a ConnectError: its code, the message without grpc-js's prefix, the trailers, and the
 * details of google.rpc.Status, which `findDetails` decodes. An unknown code becomes UNKNOWN.
 */
export function connectErrorFromServiceError(error: ServiceError): ConnectError {
  const code = error.code in Code ? (error.code as number as Code) : Code.Unknown;
  const status = statusOf(error.metadata);
  // The status has the message as it was sent; grpc-js leaves some of grpc-message's percent-encoding in place.
  const message = status?.message || connectFailure.exec(error.details)?.[1] || error.details;
  const converted = new ConnectError(message, code, headersFromMetadata(error.metadata), undefined, error);
  converted.details = (status?.details ?? []).map(({ typeUrl, value }) => ({
    type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
    value,
  }));
  return converted;
}

function statusOf(metadata: Metadata | undefined): Status | undefined {
  const [bytes] = metadata?.get("grpc-status-details-bin") ?? [];
  if (!(bytes instanceof Uint8Array)) return undefined;
  try {
    return fromBinary(StatusSchema, new Uint8Array(bytes));
  } catch {
    // The code and the message still hold when a proxy has mangled the details.
    return undefined;
  }
}
