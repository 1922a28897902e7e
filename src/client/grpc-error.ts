import type { IncomingHttpHeaders } from "node:http2";
import { fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { Metadata, type ServiceError } from "@grpc/grpc-js";
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
  // Of an answer that is compressed in a way it does not know, grpc-js says nothing at all.
  const details = (error.details as string | undefined) ?? "the answer cannot be unpacked";
  const message = status?.message || connectFailure.exec(details)?.[1] || details;
  const converted = new ConnectError(message, code, headersFromMetadata(error.metadata), undefined, error);
  converted.details = (status?.details ?? []).map(({ typeUrl, value }) => ({
    type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
    value,
  }));
  return converted;
}

/** The same for trailers with a status that says so, as they came. */
export function connectErrorFromTrailers(trailers: IncomingHttpHeaders): ConnectError {
  const metadata = Metadata.fromHttp2Headers(trailers);
  const details = decoded(String(trailers["grpc-message"] ?? ""));
  metadata.remove("grpc-status");
  metadata.remove("grpc-message");
  const code = Number(trailers["grpc-status"]);
  return connectErrorFromServiceError(Object.assign(new Error(details), { code, details, metadata }));
}

/** As grpc-js reads a grpc-message. */
function decoded(message: string): string {
  try {
    return decodeURI(message);
  } catch {
    return message;
  }
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
