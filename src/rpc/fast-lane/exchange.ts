import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { Code, ConnectError, type ContextValues } from "@connectrpc/connect";
import type { compressionNegotiate } from "@connectrpc/connect/protocol";
import type { Logger } from "pino";
import { connectErrorFrom } from "../call-errors.ts";
import { type RefusedCall, seenKey } from "../call-recorder.ts";
import { FastCall } from "./fast-call.ts";
import type { FastMethod } from "./fast-methods.ts";
import { frameOf, sendAnswer, sendError } from "./grpc-answer.ts";
import { RequestBody } from "./request-body.ts";

/** What all exchanges share. */
export interface ExchangeOptions {
  readonly readMaxBytes: number;
  /** Told of every call that is refused before an interceptor could see it. */
  readonly onRefused: (call: RefusedCall) => void;
  readonly log: Logger;
}

/** What the headers of a request say. */
export interface Opening {
  readonly headers: IncomingHttpHeaders;
  readonly method: FastMethod;
  readonly values: ContextValues;
  readonly compression: ReturnType<typeof compressionNegotiate>;
  /** Undefined: none. */
  readonly timeoutMs: number | undefined;
  /** Why the call is refused without a look at its message. */
  readonly refusal: ConnectError | undefined;
}

const exchange = Symbol("exchange");
type ExchangeStream = ServerHttp2Stream & { [exchange]?: Exchange | undefined };

/** Begins to answer the request that a stream brings. */
export function beginExchange(stream: ServerHttp2Stream, opening: Opening, options: ExchangeOptions): void {
  // Listeners that all streams share: what a stream holds on to lives as long as itself, which is long after its end.
  (stream as ExchangeStream)[exchange] = new Exchange(stream, opening, options);
  stream.on("error", ignore);
  stream.on("close", closed);
  stream.on("data", read);
  stream.on("end", complete);
}

/**
 * One request and its answer.
 *
 * I1 It is answered at most once, and never after its stream has closed.
 * I2 Who is told of the call is told of its end, however it ends: the interceptors if they have seen it, else `onRefused`.
 * I3 A request that is answered early is read to its end, or it would have to be reset.
 */
class Exchange {
  readonly #stream: ServerHttp2Stream;
  readonly #opening: Opening;
  readonly #options: ExchangeOptions;
  readonly #call: FastCall;
  /** What has come of the request; undefined once it is of no interest any more. */
  #body: RequestBody | undefined;

  constructor(stream: ServerHttp2Stream, opening: Opening, options: ExchangeOptions) {
    this.#stream = stream;
    this.#opening = opening;
    this.#options = options;
    this.#call = new FastCall(opening.method.desc, opening.headers, opening.values, opening.timeoutMs);
    if (opening.refusal) {
      this.#fail(opening.refusal);
    } else {
      this.#body = new RequestBody(options.readMaxBytes);
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
      this.#serve(body.bytes).catch((error: unknown) => this.#break(error));
    }
  }

  closed(): void {
    const isCancelled = this.#stream.rstCode === constants.NGHTTP2_CANCEL;
    const reason = new ConnectError("the caller has gone", isCancelled ? Code.Canceled : Code.Aborted);
    this.#call.interrupt(reason);
    if (this.#body) {
      this.#body = undefined;
      this.#fail(reason);
    }
  }

  async #serve(body: Uint8Array): Promise<void> {
    const { method, compression } = this.#opening;
    const call = this.#call;
    try {
      const message = method.read(body, compression.request);
      call.message = message instanceof Promise ? await message : message;
      const answer = await method.answer(call);
      const frame = frameOf(answer, method.serialize, compression.response);
      const ready = frame instanceof Promise ? await frame : frame;
      if (this.#end()) {
        sendAnswer(this.#stream, call, ready, compression.response);
      }
    } catch (error) {
      if (this.#stream.headersSent) {
        throw error;
      }
      this.#fail(error);
    }
  }

  #fail(reason: unknown): void {
    const { headers, method, compression } = this.#opening;
    const refusal = ConnectError.from(reason);
    // What the protocol layer refuses has no details yet.
    const error = refusal.details.length > 0 ? refusal : connectErrorFrom(reason);
    if (!this.#call.contextValues.get(seenKey)) {
      this.#options.onRefused({ path: headers[":path"] ?? "", method: method.desc.name, error });
    }
    if (this.#end()) {
      sendError(this.#stream, this.#call, [refusal, error], compression.response);
    }
  }

  /** The call is over. Whether it can be answered still. */
  #end(): boolean {
    this.#call.end();
    (this.#stream as ExchangeStream)[exchange] = undefined;
    return !this.#stream.destroyed && !this.#stream.closed && !this.#stream.headersSent;
  }

  #break(error: unknown): void {
    this.#options.log.error({ err: error, path: this.#opening.headers[":path"] }, "a call could not be answered");
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }
}

function read(this: ServerHttp2Stream, chunk: Buffer): void {
  (this as ExchangeStream)[exchange]?.read(chunk);
}

function complete(this: ServerHttp2Stream): void {
  (this as ExchangeStream)[exchange]?.complete();
}

function closed(this: ServerHttp2Stream): void {
  (this as ExchangeStream)[exchange]?.closed();
}

/** Of a reset the close tells, too. */
function ignore(): void {}
