import type { JsonWriteOptions } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import { createAsyncIterable, encodeEnvelope, type UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  codeToHttpStatus,
  contentTypeStreamRegExp,
  contentTypeUnaryJson,
  contentTypeUnaryRegExp,
  endStreamFlag,
  endStreamToJson,
  errorToJsonBytes,
} from "@connectrpc/connect/protocol-connect";
import { contentTypeRegExp as grpcContentType, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import {
  contentTypeRegExp as grpcWebContentType,
  trailerFlag,
  trailerSerialize,
} from "@connectrpc/connect/protocol-grpc-web";

/** The RPC protocol a request is made in, and for errors' sake whether Connect streams. */
export type RpcProtocol = "grpc" | "grpc-web" | "connect" | "connect-stream";

/** A path that can be a method's: "/longhaul.v1.OperationsService/GetOperation". */
const methodPath = /^\/[\w.]+\/\w+$/;

/** The protocol of a request; undefined when it is none for an RPC, such as a browser's for a page. */
export function protocolOf(httpMethod: string, contentType: string, url: string): RpcProtocol | undefined {
  const [path = "", query = ""] = url.split("?", 2);
  if (httpMethod === "GET") {
    return methodPath.test(path) && new URLSearchParams(query).has("encoding") ? "connect" : undefined;
  }
  if (httpMethod !== "POST") {
    return undefined;
  }
  if (grpcContentType.test(contentType)) {
    return "grpc";
  }
  // Nobody here speaks the text form, which would need a text for an answer.
  if (grpcWebContentType.test(contentType) && !contentType.includes("-text")) {
    return "grpc-web";
  }
  if (contentTypeStreamRegExp.test(contentType)) {
    return "connect-stream";
  }
  // JSON alone is no sign of an RPC.
  return contentTypeUnaryRegExp.test(contentType) && methodPath.test(path) ? "connect" : undefined;
}

/** The whole answer to a call that fails with an error. */
export function refusal(
  protocol: RpcProtocol,
  contentType: string,
  error: ConnectError,
  jsonOptions: Partial<JsonWriteOptions> | undefined,
): UniversalServerResponse {
  const header = new Headers({ "content-type": contentType });
  switch (protocol) {
    case "grpc":
      return { status: 200, header, trailer: grpcTrailer(error) };
    case "grpc-web":
      return {
        status: 200,
        header,
        body: createAsyncIterable([grpcWebTrailer(grpcTrailer(error))]),
      };
    case "connect-stream":
      return { status: 200, header, body: createAsyncIterable([connectEnd(new Headers(), error, jsonOptions)]) };
    case "connect":
      return connectError(codeToHttpStatus(error.code), new Headers(), error, jsonOptions);
  }
}

/** The trailers that a failed call has in gRPC and gRPC-Web. */
export function grpcTrailer(error: ConnectError, trailer = new Headers()): Headers {
  setTrailerStatus(trailer, error);
  respellMessage(trailer);
  return trailer;
}

/** Encodes grpc-message by the letter of gRPC, which is less: grpc-js does not decode all that need not be encoded. */
export function respellMessage(trailer: Headers): void {
  const message = decodeURIComponent(trailer.get("grpc-message") ?? "");
  trailer.set("grpc-message", message.replaceAll(/[^ -$&-~]+/g, encodeURIComponent));
}

/** The frame that ends a gRPC-Web answer. */
export function grpcWebTrailer(trailer: Headers): Uint8Array<ArrayBuffer> {
  return encodeEnvelope(trailerFlag, trailerSerialize(trailer));
}

/** The frame that ends a stream in Connect. */
export function connectEnd(
  metadata: Headers,
  error: ConnectError,
  jsonOptions: Partial<JsonWriteOptions> | undefined,
): Uint8Array<ArrayBuffer> {
  const json = JSON.stringify(endStreamToJson(metadata, error, jsonOptions));
  return encodeEnvelope(endStreamFlag, new TextEncoder().encode(json));
}

/** The answer to a unary call that fails in Connect; `header` is what it has beside what belongs to the error. */
export function connectError(
  status: number,
  header: Headers,
  error: ConnectError,
  jsonOptions: Partial<JsonWriteOptions> | undefined,
): UniversalServerResponse {
  const body = errorToJsonBytes(error, jsonOptions);
  for (const [name, value] of error.metadata) {
    header.set(name, value);
  }
  header.set("content-type", contentTypeUnaryJson);
  header.set("content-length", body.byteLength.toString());
  header.delete("content-encoding");
  return { status, header, body: createAsyncIterable([body]) };
}
