import type { ServerResponse } from "node:http";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { ContextValues, Interceptor } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";
import { type Peer, peerOf, peerOfSession } from "../../listener/peer.ts";
import type { RequestHandler, StreamHandler } from "../../listener/request-handler.ts";
import type { PortHandlers } from "../entrance.ts";
import { createConnectProtocol } from "./connect-protocol.ts";
import { beginExchange, beginHttp1Exchange, type ExchangeOptions, type Opening } from "./exchange.ts";
import { type FastMethod, fastMethods, type MessageOptions, type ServedService } from "./fast-methods.ts";
import { createGrpcProtocol } from "./grpc-protocol.ts";
import type { LaneProtocol, LaneStream } from "./lane-protocol.ts";

/** What the fast lane is made of. */
export interface FastLaneOptions extends MessageOptions, ExchangeOptions {
  readonly services: readonly ServedService[];
  /** The same as all other calls go through. */
  readonly interceptors: readonly Interceptor[];
  readonly acceptCompression: Compression[];
  readonly contextValues: (peer: Peer) => ContextValues;
}

/**
 * Answers unary calls by gRPC and by Connect on their bare HTTP/2 streams, and by Connect over HTTP/1.1, without the
 * requests, responses and iterables that serve every protocol alike. It answers what connect-node answers: with the same
 * methods, interceptors, limits and errors. All other requests are left to `others`: streams, gRPC-Web, gRPC with JSON,
 * Connect by GET.
 */
export function createFastLane(others: RequestHandler, options: FastLaneOptions): Required<PortHandlers> {
  const methods = fastMethods(options.services, options.interceptors, options);
  const { grpc, connect } = createProtocols(options);
  const streamProtocols: Protocols<ServerHttp2Stream> = [grpc, ...connect];
  const methodOf = (httpMethod: string | undefined, path: string | undefined, headers: IncomingHttpHeaders) =>
    httpMethod === "POST" && headers.expect === undefined ? methods.get(path ?? "") : undefined;
  const streamHandler: StreamHandler = (stream, headers) => {
    const method = methodOf(headers[":method"], headers[":path"], headers);
    const protocol = method && find(streamProtocols, headers);
    const { session } = stream;
    if (!protocol || !session) {
      return false;
    }
    const values = options.contextValues(peerOfSession(session));
    beginExchange(stream, openingOf(headers, protocol, method, values), options);
    return true;
  };
  const handler: RequestHandler = (request, response) => {
    const { headers } = request;
    const method = "stream" in request ? undefined : methodOf(request.method, request.url, headers);
    const protocol = method && find(connect, headers);
    // HTTP/1.0 has clients that name no host.
    if ("stream" in request || !protocol || headers.host === undefined) {
      others(request, response);
      return;
    }
    const opening = openingOf(headers, protocol, method, options.contextValues(peerOf(request)));
    const scheme = "encrypted" in request.socket ? "https" : "http";
    beginHttp1Exchange(request, response as ServerResponse, { ...opening, scheme }, options);
  };
  return { handler, streamHandler };
}

function openingOf<S extends LaneStream>(
  headers: IncomingHttpHeaders,
  protocol: LaneProtocol<S>,
  method: FastMethod,
  values: ContextValues,
): Opening<S> {
  const timeout = protocol.timeoutOf(headers);
  const compression = protocol.compressionOf(headers);
  const refusal = compression.error ?? timeout.error ?? protocol.lengthErrorOf(headers);
  return { headers, protocol, method, values, compression, timeoutMs: timeout.timeoutMs, refusal };
}

/** Protocols and the content types that tell them. */
type Protocols<S extends LaneStream> = readonly (readonly [RegExp, LaneProtocol<S>])[];

function createProtocols({ acceptCompression, readMaxBytes, jsonOptions }: FastLaneOptions) {
  const connect = (isBinary: boolean) => createConnectProtocol(isBinary, acceptCompression, readMaxBytes, jsonOptions);
  return {
    grpc: [/^application\/grpc(?:\+proto)?$/i, createGrpcProtocol(acceptCompression, readMaxBytes)],
    connect: [
      [/^application\/proto$/i, connect(true)],
      [/^application\/json(?:; ?charset=utf-?8)?$/i, connect(false)],
    ],
  } as const;
}

/** Finds the protocol of a request; undefined when it is not one of these. */
function find<S extends LaneStream>(
  protocols: Protocols<S>,
  { "content-type": contentType = "" }: IncomingHttpHeaders,
): LaneProtocol<S> | undefined {
  return protocols.find(([form]) => form.test(contentType))?.[1];
}
