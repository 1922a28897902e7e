import type { IncomingHttpHeaders } from "node:http2";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { ContextValues, UnaryResponse } from "@connectrpc/connect";
import { createMethodUrl } from "@connectrpc/connect/protocol";
import { Metadata } from "@grpc/grpc-js";
import type { ClientCredentials } from "../client-credentials.ts";
import { headersFromMetadata } from "../grpc-metadata.ts";
import type { GrpcTransport } from "../grpc-transport.ts";
import { framed } from "./answer-body.ts";
import { callOn, type LaneOutcome } from "./lane-call.ts";
import { LaneSession } from "./lane-session.ts";

/** What the fast lane is made of. */
export interface FastLaneOptions {
  /** The same as of the transport. */
  readonly baseUrl: string;
  /** The methods it is for. They must only read, for a call may be made again. */
  readonly methods: readonly DescMethodUnary[];
  /** The same as of the transport. Default: none. */
  readonly credentials?: ClientCredentials;
  /** Largest message in either direction, in bytes; longer ones are left to the transport. Default 4 MiB. */
  readonly maxBytes?: number;
  /** Milliseconds since any fixed instant; never goes back. Default: the process's own clock. */
  readonly now?: () => number;
}

type Answered = Extract<LaneOutcome, { outcome: "answered" }>;
type HeadersInit = ConstructorParameters<typeof Headers>[0];

/** The longest time that grpc-timeout can tell in milliseconds. */
const longestTimeoutMs = 99_999_999;
const plainValue = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;

/**
 * Puts a fast lane beside a transport: calls of some methods go out on a bare HTTP/2 session of its own, at a fraction
 * of the CPU.
 *
 * The lane knows plain answers and plain errors. Whatever else comes is left to the transport, which then makes the call
 * in what is left of its time: when there is no session or it was lost, when the server refuses the stream, when an
 * answer is compressed, too long or malformed. So the lane needs neither reconnects nor retries nor names for what goes
 * wrong, and its callers get the transport's. The session is opened to the address from where the transport was answered
 * last, which has then been looked up, through proxies if need be, and is there.
 */
export function withFastLane(transport: GrpcTransport, options: FastLaneOptions): GrpcTransport {
  const { baseUrl, credentials, maxBytes = 4 * 1024 * 1024, now = () => performance.now() } = options;
  const url = new URL(baseUrl);
  if (credentials?.whyNotTo(url) !== undefined) {
    return transport;
  }
  const session = new LaneSession({ url, now, secureContext: () => credentials?.secureContext() ?? {} });
  const beginnings = new Map<DescMethodUnary, readonly string[]>(
    options.methods.map((method) => [method, beginningOf(url, baseUrl, method)]),
  );

  /** The answer by the lane; undefined when the call is to be made by the transport. Throws a ConnectError. */
  async function call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    beginning: readonly string[],
    signal: AbortSignal | undefined,
    timeoutMs: number,
    header: HeadersInit | undefined,
    message: MessageInitShape<I>,
  ): Promise<UnaryResponse<I, O> | undefined> {
    const { ready } = session;
    const headers = ready && requestHeaders(beginning, timeoutMs, credentials?.authorization(), header);
    const frame = headers && framed(toBinary(method.input, create(method.input, message)));
    if (!ready || !headers || !frame || frame.length > maxBytes || signal?.aborted) {
      return undefined;
    }
    const outcome = await callOn(ready, { headers, frame, maxBytes, timeoutMs, signal });
    if (outcome.outcome === "failed") {
      if (outcome.isLate) {
        session.doubt(ready);
      }
      throw outcome.error;
    }
    const answer = outcome.outcome === "answered" ? read(method.output, outcome.message) : undefined;
    if (outcome.outcome === "answered" && answer) {
      return new LaneResponse(method, answer, outcome);
    }
    if (outcome.outcome === "answered" || outcome.isOdd) {
      session.retire(ready);
    }
    return undefined;
  }

  return {
    async unary<I extends DescMessage, O extends DescMessage>(
      method: DescMethodUnary<I, O>,
      signal: AbortSignal | undefined,
      timeoutMs: number | undefined,
      header: HeadersInit | undefined,
      message: MessageInitShape<I>,
      contextValues?: ContextValues,
    ): Promise<UnaryResponse<I, O>> {
      let leftMs = timeoutMs;
      const beginning = beginnings.get(method);
      if (beginning && timeoutMs !== undefined && timeoutMs > 0 && timeoutMs <= longestTimeoutMs) {
        const startedMs = now();
        const answer = await call(method, beginning, signal, timeoutMs, header, message);
        if (answer) {
          return answer;
        }
        leftMs = Math.max(1, timeoutMs - (now() - startedMs));
      }
      const response = await transport.unary(method, signal, leftMs, header, message, contextValues);
      if (transport.peer !== undefined) {
        session.open(transport.peer);
      }
      return response;
    },
    stream: transport.stream,
    get peer() {
      return transport.peer;
    },
    waitForReady: transport.waitForReady,
    close() {
      transport.close();
      session.close();
    },
  };
}

/** What the headers of all calls of a method begin with. */
function beginningOf(url: URL, baseUrl: string, method: DescMethodUnary): string[] {
  const { pathname } = new URL(createMethodUrl(baseUrl, method));
  const pseudo = { ":method": "POST", ":scheme": url.protocol.slice(0, -1), ":authority": url.host, ":path": pathname };
  const fixed = { te: "trailers", "content-type": "application/grpc", "user-agent": "longhaul" };
  return Object.entries({ ...pseudo, ...fixed }).flat();
}

/** All headers of a call; undefined when there is one that is not plain text. */
function requestHeaders(
  beginning: readonly string[],
  timeoutMs: number,
  authorization: string | undefined,
  more: HeadersInit | undefined,
): string[] | undefined {
  const headers = [...beginning, "grpc-timeout", `${Math.ceil(timeoutMs)}m`];
  if (authorization !== undefined) {
    headers.push("authorization", authorization);
  }
  if (more instanceof Headers || Array.isArray(more)) {
    return undefined;
  }
  for (const name in more) {
    const value = (more as Readonly<Record<string, string>>)[name];
    if (value === undefined || !plainValue.test(value) || name.endsWith("-bin")) {
      return undefined;
    }
    headers.push(name, value);
  }
  return headers;
}

function read<O extends DescMessage>(schema: O, bytes: Uint8Array): MessageShape<O> | undefined {
  try {
    return fromBinary(schema, bytes);
  } catch {
    return undefined;
  }
}

/** An answer, as callers know answers. Most never ask for its headers. */
class LaneResponse<I extends DescMessage, O extends DescMessage> implements UnaryResponse<I, O> {
  readonly stream = false;
  readonly method: DescMethodUnary<I, O>;
  readonly message: MessageShape<O>;
  readonly #answered: Answered;

  constructor(method: DescMethodUnary<I, O>, message: MessageShape<O>, answered: Answered) {
    this.method = method;
    this.message = message;
    this.#answered = answered;
  }

  get service() {
    return this.method.parent;
  }

  get header(): Headers {
    return headersOf(this.#answered.header);
  }

  get trailer(): Headers {
    return headersOf(this.#answered.trailer);
  }
}

function headersOf(headers: IncomingHttpHeaders): Headers {
  const metadata = Metadata.fromHttp2Headers(headers);
  metadata.remove("grpc-status");
  metadata.remove("grpc-message");
  return headersFromMetadata(metadata);
}
