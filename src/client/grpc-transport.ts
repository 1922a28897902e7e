import { setMaxListeners } from "node:events";
import {
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ContextValues,
  createContextValues,
  type Interceptor,
  type Transport,
  type UnaryRequest,
  type UnaryResponse,
} from "@connectrpc/connect";
import { createMethodUrl, runUnaryCall } from "@connectrpc/connect/protocol";
import { Client, type ClientOptions, connectivityState, credentials, type Metadata } from "@grpc/grpc-js";
import type { ClientCredentials } from "./client-credentials.ts";
import { connectErrorFromServiceError } from "./grpc-error.ts";
import { headersFromMetadata, metadataFromHeaders } from "./grpc-metadata.ts";

/** How to reach a server over gRPC. */
export interface GrpcTransportOptions {
  /** Where the server is: "http://host:port" without TLS or "https://host:port" with it. A path becomes a prefix. */
  readonly baseUrl: string;
  /** Deadline of calls whose caller gives none, in milliseconds. Default 10 000; 0 means none. */
  readonly defaultTimeoutMs?: number;
  /** Idle time after which a ping is sent while a call is open, in milliseconds. Default 10 000. */
  readonly keepAliveTimeMs?: number;
  /** How long an answer to a ping may take before the connection counts as dead, in milliseconds. Default 5000. */
  readonly keepAliveTimeoutMs?: number;
  /** First pause before a lost connection is made again, in milliseconds. Default 100; it grows from there. */
  readonly initialReconnectBackoffMs?: number;
  /** Longest pause before a lost connection is made again, in milliseconds. Default 5000. */
  readonly maxReconnectBackoffMs?: number;
  /** Largest message accepted, in bytes. Default 4 MiB; a larger one fails the call with RESOURCE_EXHAUSTED. */
  readonly maxReceiveBytes?: number;
  /** Largest message sent, in bytes. Default 4 MiB. */
  readonly maxSendBytes?: number;
  /** PEM certificates of the authorities trusted over https. Default: those of the runtime. */
  readonly rootCertificates?: Uint8Array;
  /** With what the client proves who it is; its authorities count instead of rootCertificates. Default: with nothing. */
  readonly credentials?: ClientCredentials;
  /** Run around every call, the first one outermost. Default none. */
  readonly interceptors?: readonly Interceptor[];
}

/** A Connect transport that owns a gRPC channel. */
export interface GrpcTransport extends Transport {
  /** The address that the last answer came from, such as "127.0.0.1:50051"; undefined before the first one. */
  readonly peer: string | undefined;
  /** Ends open calls and all later ones with UNAVAILABLE and frees the connection. Safe to repeat. */
  close(): void;
  /** Connects if need be. True once connected, false after the time, an abort or a close. */
  waitForReady(timeoutMs: number, signal?: AbortSignal): Promise<boolean>;
}

const mebibyte = 1024 * 1024;
const readinessCheckMs = 500;

/**
 * The Connect `Transport` over a grpc-js channel, for unary methods; streams are UNIMPLEMENTED.
 *
 * grpc-js rather than connect-node's own client, because it reports a server that died as UNAVAILABLE, finds frozen
 * ones by pings, and repeats calls that a closing server has not begun. Connecting begins with the first call.
 * Throws a TypeError for a baseUrl that is no http or https URL.
 */
export function createGrpcJsTransport(options: GrpcTransportOptions): GrpcTransport {
  const url = parseBaseUrl(options.baseUrl);
  const client = createChannelClient(url, options);
  const defaultTimeoutMs = options.defaultTimeoutMs ?? 10_000;
  const closing = new AbortController();
  let peer: string | undefined;
  const onAnswer = (from: string) => {
    peer = from;
  };
  setMaxListeners(0, closing.signal);
  return {
    get peer() {
      return peer;
    },
    async unary<I extends DescMessage, O extends DescMessage>(
      method: DescMethodUnary<I, O>,
      signal: AbortSignal | undefined,
      callTimeoutMs: number | undefined,
      header: ConstructorParameters<typeof Headers>[0] | undefined,
      message: MessageInitShape<I>,
      contextValues?: ContextValues,
    ): Promise<UnaryResponse<I, O>> {
      const headers = new Headers(header);
      authorize(headers, url, options.credentials);
      const wantedTimeoutMs = callTimeoutMs ?? defaultTimeoutMs;
      const timeoutMs = wantedTimeoutMs > 0 ? wantedTimeoutMs : undefined;
      return runUnaryCall<I, O>({
        req: {
          stream: false,
          service: method.parent,
          method,
          requestMethod: "POST",
          url: createMethodUrl(options.baseUrl, method),
          header: headers,
          contextValues: contextValues ?? createContextValues(),
          message,
        },
        next: (request) => {
          closing.signal.throwIfAborted();
          return callUnary(client, request, timeoutMs, closing.signal, onAnswer);
        },
        interceptors: [...(options.interceptors ?? [])],
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
        ...(signal === undefined ? {} : { signal }),
      });
    },
    async stream(method) {
      throw new ConnectError(`${method.parent.typeName}/${method.name}: streams are not supported`, Code.Unimplemented);
    },
    close() {
      closing.abort(new ConnectError(`the connection to ${url.host} was closed`, Code.Unavailable));
      client.close();
    },
    waitForReady: (timeoutMs, signal) => {
      options.credentials?.refresh();
      const ends = signal ? AbortSignal.any([signal, closing.signal]) : closing.signal;
      return waitForReady(client, Date.now() + timeoutMs, ends);
    },
  };
}

/** Adds what the client proves itself with. Throws a ConnectError where a token would be sent in plaintext. */
function authorize(headers: Headers, url: URL, own: ClientCredentials | undefined): void {
  if (own) {
    own.refresh();
    const authorization = own.authorization();
    const whyNot = own.whyNotTo(url);
    if (whyNot !== undefined) {
      throw new ConnectError(whyNot, Code.Unauthenticated);
    }
    if (authorization !== undefined) {
      headers.set("authorization", authorization);
    }
  }
}

function parseBaseUrl(baseUrl: string): URL {
  const url = URL.parse(baseUrl);
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === "") {
    throw new TypeError(`"${baseUrl}" is no server URL; it must be like http://127.0.0.1:50051`);
  }
  return url;
}

function createChannelClient(url: URL, options: GrpcTransportOptions): Client {
  const secure = url.protocol === "https:";
  const address = `dns:${url.hostname}:${url.port === "" ? (secure ? 443 : 80) : url.port}`;
  const roots = options.rootCertificates;
  const channelOptions: ClientOptions = {
    "grpc.keepalive_time_ms": options.keepAliveTimeMs ?? 10_000,
    "grpc.keepalive_timeout_ms": options.keepAliveTimeoutMs ?? 5000,
    "grpc.initial_reconnect_backoff_ms": options.initialReconnectBackoffMs ?? 100,
    "grpc.max_reconnect_backoff_ms": options.maxReconnectBackoffMs ?? 5000,
    // A server that came back at another address is looked up again soon.
    "grpc.dns_min_time_between_resolutions_ms": options.maxReconnectBackoffMs ?? 5000,
    "grpc.max_receive_message_length": options.maxReceiveBytes ?? 4 * mebibyte,
    "grpc.max_send_message_length": options.maxSendBytes ?? 4 * mebibyte,
    // Closing one transport must not depend on another one to the same server.
    "grpc.use_local_subchannel_pool": 1,
  };
  const channelCredentials = secure
    ? (options.credentials?.channel ?? credentials.createSsl(roots === undefined ? null : Buffer.from(roots)))
    : credentials.createInsecure();
  return new Client(address, channelCredentials, channelOptions);
}

function callUnary<I extends DescMessage, O extends DescMessage>(
  client: Client,
  request: UnaryRequest<I, O>,
  timeoutMs: number | undefined,
  closing: AbortSignal,
  onAnswer: (peer: string) => void,
): Promise<UnaryResponse<I, O>> {
  const { method, signal } = request;
  return new Promise((resolve, reject) => {
    let header: Metadata | undefined;
    let message: MessageShape<O> | undefined;
    const call = client.makeUnaryRequest<MessageShape<I>, MessageShape<O>>(
      new URL(request.url).pathname,
      (value) => Buffer.from(toBinary(method.input, value)),
      // A plain Uint8Array, so that bytes fields are none of Buffer's.
      (bytes) => fromBinary(method.output, new Uint8Array(bytes)),
      request.message,
      metadataFromHeaders(request.header),
      timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs },
      (error, value) => {
        signal.removeEventListener("abort", cancel);
        closing.removeEventListener("abort", cancel);
        if (error !== null) reject(closing.aborted ? closing.reason : connectErrorFromServiceError(error));
        else message = value;
      },
    );
    const cancel = () => call.cancel();
    call.on("metadata", (received: Metadata) => {
      header = received;
    });
    // Comes after the callback and brings the trailers.
    call.on("status", ({ metadata }: { metadata: Metadata }) => {
      if (message === undefined) return;
      onAnswer(call.getPeer());
      resolve({
        stream: false,
        service: request.service,
        method,
        header: headersFromMetadata(header),
        trailer: headersFromMetadata(metadata),
        message,
      });
    });
    closing.addEventListener("abort", cancel);
    if (signal.aborted) cancel();
    else signal.addEventListener("abort", cancel);
  });
}

async function waitForReady(client: Client, deadlineMs: number, signal: AbortSignal): Promise<boolean> {
  const { promise: aborted, resolve: onAbort } = Promise.withResolvers<void>();
  const abort = () => onAbort();
  signal.addEventListener("abort", abort);
  try {
    while (!signal.aborted) {
      const channel = client.getChannel();
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY) return true;
      const now = Date.now();
      if (now >= deadlineMs) return false;
      // A watch cannot be taken back, so each one is short: an abort leaves no timer behind for long.
      const checkAtMs = Math.min(deadlineMs, now + readinessCheckMs);
      const changed = new Promise<void>((resolve) => channel.watchConnectivityState(state, checkAtMs, () => resolve()));
      await Promise.race([changed, aborted]);
    }
    return false;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
