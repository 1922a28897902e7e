import type { IncomingMessage, ServerResponse } from "node:http";
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { Code, ConnectError, type ContextValues } from "@connectrpc/connect";
import type { Logger } from "pino";
import { connectErrorFrom } from "../call-errors.ts";
import { type RefusedCall, seenKey } from "../call-recorder.ts";
import { FastCall } from "./fast-call.ts";
import type { FastMethod } from "./fast-methods.ts";
import { Http1Stream } from "./http1-stream.ts";
import type { LaneProtocol, LaneStream, Negotiation, RequestBody } from "./lane-protocol.ts";

/** What all exchanges share. */
export interface ExchangeOptions {
  /** Told of every call that is refused before an interceptor could see it. */
  readonly onRefused: (call: RefusedCall) => void;
  readonly log: Logger;
}

/** What the headers of a request say. */
export interface Opening<S extends LaneStream = LaneStream> {
  readonly headers: IncomingHttpHeaders;
  /** Undefined: the headers tell it. */
  readonly scheme?: "http" | "https";
  readonly protocol: LaneProtocol<S>;
  readonly method: FastMethod;
  readonly values: ContextValues;
  readonly compression: Negotiation;
  /** Undefined: none. */
  readonly timeoutMs: number | undefined;
  /** Why the call is refused without a look at its message. */
  readonly refusal: ConnectError | undefined;
}

const exchange = Symbol("exchange");
/** What brings a request. */
type Bringer = { [exchange]?: Pick<Exchange<LaneStream>, "read" | "complete" | "closed"> | undefined };

/** Begins to answer the request that an HTTP/2 stream brings. */
export function beginExchange(
  stream: ServerHttp2Stream,
  opening: Opening<ServerHttp2Stream>,
  options: ExchangeOptions,
): void {
  // Listeners that all streams share: what a stream holds on to lives as long as itself, which is long after its end.
  (stream as Bringer)[exchange] = new Exchange(stream as Bringer, stream, opening, options);
  stream.on("error", ignore);
  stream.on("close", closed);
  stream.on("data", read);
  stream.on("end", complete);
}

/** Begins to answer a request of HTTP/1.1. */
export function beginHttp1Exchange(
  request: IncomingMessage,
  response: ServerResponse,
  opening: Opening,
  options: ExchangeOptions,
): void {
  (request as Bringer)[exchange] = new Exchange(request as Bringer, new Http1Stream(response), opening, options);
  request.on("data", read);
  request.on("end", complete);
  response.on("error", ignore);
  // A request closes as soon as it has been read, a response with its last byte or with the connection.
  response.on("close", responseClosed);
}

/**
 * One request and its answer.
 *
 * I1 It is answered at most once, and never after its stream has closed.
 * I2 Who is told of the call is told of its end, however it ends: the interceptors if they have seen it, else `onRefused`.
 * I3 A request that is answered early is read to its end, or it would have to be reset.
 */
class Exchange<S extends LaneStream> {
  readonly #bringer: Bringer;
  readonly #stream: S;
  readonly #opening: Opening<S>;
  readonly #options: ExchangeOptions;
  readonly #call: FastCall;
  /** What has come of the request; undefined once it is of no interest any more. */
  #body: RequestBody | undefined;

  constructor(bringer: Bringer, stream: S, opening: Opening<S>, options: ExchangeOptions) {
    this.#bringer = bringer;
    this.#stream = stream;
    this.#opening = opening;
    this.#options = options;
    const { protocol, method, headers, scheme, values, timeoutMs, refusal } = opening;
    this.#call = new FastCall(protocol.name, method.desc, headers, values, timeoutMs, scheme);
    if (refusal) {
      this.#finish(this.#fail(refusal));
    } else {
      this.#body = protocol.bodyOf(headers);
    }
  }

  read(chunk: Buffer): void {
    if (this.#body?.push(chunk)) {
      this.complete();
    }
  }

  complete(): void {
    const body = this.#body;
    // Node.js lets a request that is reset end, too. What its caller has not ended is nothing to act on.
    if (body && !this.#stream.closed) {
      this.#body = undefined;
      this.#finish(this.#serve(body.bytes));
    }
  }

  closed(): void {
    const isCancelled = this.#stream.rstCode === constants.NGHTTP2_CANCEL;
    const reason = new ConnectError("the caller has gone", isCancelled ? Code.Canceled : Code.Aborted);
    this.#call.interrupt(reason);
    if (this.#body) {
      this.#body = undefined;
      this.#finish(this.#fail(reason));
    }
  }

  async #serve(body: Uint8Array): Promise<void> {
    const { protocol, method, compression } = this.#opening;
    const call = this.#call;
    try {
      const message = protocol.read(method, body, compression.request);
      call.message = message instanceof Promise ? await message : message;
      const encoded = protocol.encode(method, await method.answer(call), compression.response);
      const answer = encoded instanceof Promise ? await encoded : encoded;
      if (this.#end()) {
        protocol.send(this.#stream, call, answer, compression.response);
      }
    } catch (error) {
      if (this.#stream.headersSent) {
        throw error;
      }
      await this.#fail(error);
    }
  }

  async #fail(reason: unknown): Promise<void> {
    const { protocol, method, compression } = this.#opening;
    const refusal = ConnectError.from(reason);
    // What the protocol layer refuses has no details yet.
    const error = refusal.details.length > 0 ? refusal : connectErrorFrom(reason);
    if (!this.#call.contextValues.get(seenKey)) {
      this.#options.onRefused({ path: method.path, method: method.desc.name, error });
    }
    if (this.#end()) {
      await protocol.sendError(this.#stream, this.#call, refusal, error, compression.response);
    }
  }

  /** The call is over. Whether it can be answered still. */
  #end(): boolean {
    this.#call.end();
    this.#bringer[exchange] = undefined;
    return !this.#stream.destroyed && !this.#stream.closed && !this.#stream.headersSent;
  }

  #finish(answering: Promise<void>): void {
    answering.catch((error: unknown) => {
      if (!this.#stream.closed) {
        this.#options.log.error({ err: error, path: this.#opening.method.path }, "a call could not be answered");
        this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      }
    });
  }
}

function read(this: Bringer, chunk: Buffer): void {
  this[exchange]?.read(chunk);
}

function complete(this: Bringer): void {
  this[exchange]?.complete();
}

function closed(this: Bringer): void {
  this[exchange]?.closed();
}

function responseClosed(this: ServerResponse): void {
  (this.req as Bringer)[exchange]?.closed();
}

/** Of a reset the close tells, too. */
function ignore(): void {}
