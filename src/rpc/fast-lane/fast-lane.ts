import type { Http2Session, IncomingHttpHeaders } from "node:http2";
import type { ContextValues, Interceptor } from "@connectrpc/connect";
import { type Compression, compressionNegotiate } from "@connectrpc/connect/protocol";
import { headerAcceptEncoding, headerEncoding, headerTimeout, parseTimeout } from "@connectrpc/connect/protocol-grpc";
import type { StreamHandler } from "../../listener/request-handler.ts";
import { isLongGrpcTimeout } from "../long-timeouts.ts";
import { beginExchange, type ExchangeOptions } from "./exchange.ts";
import { fastMethods, type MessageLimits, type ServedService } from "./fast-methods.ts";

/** What the fast lane is made of. */
export interface FastLaneOptions extends MessageLimits, ExchangeOptions {
  readonly services: readonly ServedService[];
  /** The same as all other calls go through. */
  readonly interceptors: readonly Interceptor[];
  readonly acceptCompression: Compression[];
  readonly contextValues: (session: Http2Session) => ContextValues;
}

type Negotiation = ReturnType<typeof compressionNegotiate>;

const timeoutHeader = headerTimeout.toLowerCase();
const encodingHeader = headerEncoding.toLowerCase();
const acceptEncodingHeader = headerAcceptEncoding.toLowerCase();
/** gRPC with messages in protobuf. */
const grpcType = /^application\/grpc(?:\+proto)?$/i;
const noCompression: Negotiation = { request: null, response: null };

/**
 * Answers unary gRPC calls on their bare HTTP/2 streams, without the requests, responses and iterables that serve every
 * protocol alike. It answers what connect-node answers: with the same methods, interceptors, limits and errors. All
 * other requests are left to others.
 */
export function createFastLane(options: FastLaneOptions): StreamHandler {
  const methods = fastMethods(options.services, options.interceptors, options);
  return (stream, headers) => {
    const method = methods.get(headers[":path"] ?? "");
    const { session } = stream;
    if (!method || !session || !isUnaryGrpc(headers)) {
      return false;
    }
    const timeout = timeoutOf(headers);
    const compression = compressionOf(headers, options.acceptCompression);
    const opening = {
      headers,
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

function isUnaryGrpc(headers: IncomingHttpHeaders): boolean {
  return headers[":method"] === "POST" && grpcType.test(headers["content-type"] ?? "") && headers.expect === undefined;
}

function timeoutOf(headers: IncomingHttpHeaders): ReturnType<typeof parseTimeout> {
  const text = textOf(headers[timeoutHeader]);
  return text === null || isLongGrpcTimeout(text) ? {} : parseTimeout(text, Number.MAX_SAFE_INTEGER);
}

function compressionOf(headers: IncomingHttpHeaders, available: Compression[]): Negotiation {
  const requested = headers[encodingHeader];
  const accepted = headers[acceptEncodingHeader];
  return requested === undefined && accepted === undefined
    ? noCompression
    : compressionNegotiate(available, textOf(requested), textOf(accepted), headerAcceptEncoding);
}

function textOf(value: string | string[] | undefined): string | null {
  return value === undefined ? null : String(value);
}
