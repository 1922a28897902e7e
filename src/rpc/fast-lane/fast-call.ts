import type { IncomingHttpHeaders } from "node:http2";
import type { DescMessage, DescMethodUnary, DescService, Message } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ContextValues,
  type HandlerContext,
  type UnaryRequest,
  type UnaryResponse,
} from "@connectrpc/connect";
import { StreamHeaders } from "./stream-headers.ts";

/**
 * A unary call, as interceptors and as handlers know calls. What a call may have and most calls never ask for, it
 * makes when it is asked: an AbortSignal and its timer, Headers, the URL.
 *
 * It may be given up while it is under way: by its caller or by its deadline. Whoever listens to `signal` hears of it.
 */
export class FastCall implements UnaryRequest, HandlerContext {
  readonly protocolName: string;
  readonly method: DescMethodUnary;
  readonly contextValues: ContextValues;
  /** Set before the first interceptor sees the call. */
  message!: Message;
  readonly #received: IncomingHttpHeaders;
  readonly #scheme: string | undefined;
  readonly #deadlineMs: number | undefined;
  #header: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;
  #interruption: ConnectError | undefined;
  #controller: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;

  /**
   * `timeoutMs` is how long the caller waits for the answer; undefined means for ever. `scheme` is "http" or "https";
   * only over HTTP/2 the headers tell it.
   */
  constructor(
    protocolName: string,
    method: DescMethodUnary,
    headers: IncomingHttpHeaders,
    values: ContextValues,
    timeoutMs: number | undefined,
    scheme = headers[":scheme"],
  ) {
    this.protocolName = protocolName;
    this.method = method;
    this.contextValues = values;
    this.#received = headers;
    this.#scheme = scheme;
    this.#deadlineMs = timeoutMs === undefined ? undefined : Date.now() + timeoutMs;
  }

  get stream(): false {
    return false;
  }

  get requestMethod(): string {
    return "POST";
  }

  get service(): DescService {
    return this.method.parent;
  }

  get values(): ContextValues {
    return this.contextValues;
  }

  get header(): Headers {
    this.#header ??= new StreamHeaders(this.#received);
    return this.#header;
  }

  get requestHeader(): Headers {
    return this.header;
  }

  get url(): string {
    const { ":authority": authority, host } = this.#received;
    return `${this.#scheme}://${authority ?? host}/${this.service.typeName}/${this.method.name}`;
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= new Headers();
    return this.#responseHeader;
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers();
    return this.#responseTrailer;
  }

  /** The headers that the handler wants to answer with; undefined when it has not asked for them. */
  get answeredHeader(): Headers | undefined {
    return this.#responseHeader;
  }

  /** The same for trailers. */
  get answeredTrailer(): Headers | undefined {
    return this.#responseTrailer;
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.interruption) {
        this.#controller.abort(this.interruption);
      } else if (this.#deadlineMs !== undefined) {
        this.#timer = setTimeout(() => this.interrupt(timedOut()), this.#deadlineMs - Date.now());
      }
    }
    return this.#controller.signal;
  }

  /** Why the call has been given up; undefined as long as it has not. Costs no signal. */
  get interruption(): ConnectError | undefined {
    if (!this.#interruption && this.#deadlineMs !== undefined && Date.now() >= this.#deadlineMs) {
      this.#interruption = timedOut();
    }
    return this.#interruption;
  }

  /** How long the caller will still wait, in milliseconds. */
  timeoutMs(): number | undefined {
    return this.#deadlineMs === undefined ? undefined : this.#deadlineMs - Date.now();
  }

  /** Gives the call up. What has been said first stays. */
  interrupt(reason: ConnectError): void {
    clearTimeout(this.#timer);
    this.#interruption ??= reason;
    this.#controller?.abort(this.#interruption);
  }

  /** The call is over: nobody is told of its deadline any more. */
  end(): void {
    clearTimeout(this.#timer);
  }
}

/** The answer of a handler to a call, as interceptors know answers. */
export class FastAnswer implements UnaryResponse {
  readonly message: Message;
  readonly #call: FastCall;

  constructor(call: FastCall, message: Message) {
    this.#call = call;
    this.message = message;
  }

  get stream(): false {
    return false;
  }

  get method(): DescMethodUnary<DescMessage, DescMessage> {
    return this.#call.method;
  }

  get service(): DescService {
    return this.#call.service;
  }

  get header(): Headers {
    return this.#call.responseHeader;
  }

  get trailer(): Headers {
    return this.#call.responseTrailer;
  }
}

function timedOut(): ConnectError {
  return new ConnectError("the operation timed out", Code.DeadlineExceeded);
}
