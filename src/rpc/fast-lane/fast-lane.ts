import type { Http2Session } from "node:http2";
import type { ContextValues, Interceptor } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";
import type { StreamHandler } from "../../listener/request-handler.ts";
import { createConnectProtocol } from "./connect-protocol.ts";
import { beginExchange, type ExchangeOptions } from "./exchange.ts";
import { fastMethods, type MessageOptions, type ServedService } from "./fast-methods.ts";
import { createGrpcProtocol } from "./grpc-protocol.ts";
import type { LaneProtocol } from "./lane-protocol.ts";

/** What the fast lane is made of. */
export interface FastLaneOptions extends MessageOptions, ExchangeOptions {
  readonly services: readonly ServedService[];
  /** The same as all other calls go through. */
  readonly interceptors: readonly Interceptor[];
  readonly acceptCompression: Compression[];
  readonly contextValues: (session: Http2Session) => ContextValues;
}

/**
 * Answers unary calls by gRPC and by Connect on their bare HTTP/2 streams, without the requests, responses and iterables
 * that serve every protocol alike. It answers what connect-node answers: with the same methods, interceptors, limits and
 * errors. All other requests are left to others: streams, gRPC-Web, gRPC with JSON, Connect by GET, HTTP/1.1.
 */
export function createFastLane(options: FastLaneOptions): StreamHandler {
  const methods = fastMethods(options.services, options.interceptors, options);
  const protocolOf = createProtocols(options);
  return (stream, headers) => {
    const method = headers[":method"] === "POST" ? methods.get(headers[":path"] ?? "") : undefined;
    const protocol = method && protocolOf(headers["content-type"] ?? "");
    const { session } = stream;
    if (!protocol || !session || headers.expect !== undefined) {
      return false;
    }
    const timeout = protocol.timeoutOf(headers);
    const compression = protocol.compressionOf(headers);
    const opening = {
      headers,
      protocol,
      method,
      values: options.contextValues(session),
      compression,
      timeoutMs: timeout.timeoutMs,
      refusal: compression.error ?? timeout.error,
    };
    beginExchange(stream, opening, options);
    return true;
  };
}

/** Finds the protocol of a content type; undefined when it is not one of the lane's. */
function createProtocols({
  acceptCompression,
  readMaxBytes,
  jsonOptions,
}: FastLaneOptions): (contentType: string) => LaneProtocol | undefined {
  const grpc = createGrpcProtocol(acceptCompression, readMaxBytes);
  const connect = (isBinary: boolean) => createConnectProtocol(isBinary, acceptCompression, readMaxBytes, jsonOptions);
  const protocols: readonly (readonly [RegExp, LaneProtocol])[] = [
    [/^application\/grpc(?:\+proto)?$/i, grpc],
    [/^application\/proto$/i, connect(true)],
    [/^application\/json(?:; ?charset=utf-?8)?$/i, connect(false)],
  ];
  return (contentType) => protocols.find(([form]) => form.test(contentType))?.[1];
}
