import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectErrorFromTrailers } from "../grpc-error.ts";
import { AnswerBody } from "./answer-body.ts";

/** What a call sends, and how long it waits. */
export interface LaneRequest {
  /** Names and values in turn, pseudo-headers first. */
  readonly headers: readonly string[];
  /** The message in its frame. */
  readonly frame: Buffer;
  /** The longest message that is taken as an answer, in bytes. */
  readonly maxBytes: number;
  readonly timeoutMs: number;
  /** Cancels the call. */
  readonly signal: AbortSignal | undefined;
}

/** What came of a call. */
export type LaneOutcome =
  | {
      readonly outcome: "answered";
      readonly message: Uint8Array;
      readonly header: IncomingHttpHeaders;
      readonly trailer: IncomingHttpHeaders;
    }
  /** It failed: by a status of the server, the deadline (`isLate`), or the caller's signal. */
  | { readonly outcome: "failed"; readonly error: ConnectError; readonly isLate: boolean }
  /**
   * Nothing is known of it that could be told: the connection was lost, the server refused the stream, or (`isOdd`) the
   * answer is not one plain message with a status.
   */
  | { readonly outcome: "untold"; readonly isOdd: boolean };

const call = Symbol("call");
type CallStream = ClientHttp2Stream & { [call]?: LaneCall | undefined };

const grpcType = /^application\/grpc(?:\+proto)?(?:;|$)/i;
const lost: LaneOutcome = { outcome: "untold", isOdd: false };
const odd: LaneOutcome = { outcome: "untold", isOdd: true };

/** Makes one unary gRPC call on a session. Never rejects. */
export function callOn(session: ClientHttp2Session, request: LaneRequest): Promise<LaneOutcome> {
  return new Promise((resolve) => {
    let stream: CallStream;
    try {
      stream = session.request(request.headers);
    } catch {
      resolve(lost);
      return;
    }
    stream[call] = new LaneCall(session, stream, request, resolve);
    // Listeners that all streams share: a stream lives on after its end.
    stream.on("response", began);
    stream.on("data", read);
    stream.on("trailers", ended);
    stream.on("end", drained);
    stream.on("close", closed);
    stream.on("error", ignore);
    stream.end(request.frame);
  });
}

/**
 * One call and its stream.
 *
 * I1 It has one outcome, and says nothing after that.
 * I2 A stream whose answer nobody waits for any more is reset.
 */
class LaneCall {
  readonly #session: ClientHttp2Session;
  readonly #stream: CallStream;
  readonly #signal: AbortSignal | undefined;
  readonly #cancel: (() => void) | undefined;
  readonly #resolve: (outcome: LaneOutcome) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #body: AnswerBody;
  #header: IncomingHttpHeaders = {};
  #trailer: IncomingHttpHeaders | undefined;

  constructor(
    session: ClientHttp2Session,
    stream: CallStream,
    { maxBytes, timeoutMs, signal }: LaneRequest,
    resolve: (outcome: LaneOutcome) => void,
  ) {
    this.#session = session;
    this.#stream = stream;
    this.#signal = signal;
    this.#resolve = resolve;
    this.#body = new AnswerBody(maxBytes);
    this.#timer = setTimeout(expire, timeoutMs, this);
    if (signal) {
      this.#cancel = () => this.#giveUp(failed(ConnectError.from(signal.reason, Code.Canceled)));
      signal.addEventListener("abort", this.#cancel);
    }
  }

  began(header: IncomingHttpHeaders & IncomingHttpStatusHeader, isAll: boolean): void {
    if (header[":status"] !== 200 || !grpcType.test(header["content-type"] ?? "")) {
      this.#giveUp(odd);
    } else if (isAll) {
      this.ended(header);
    } else {
      this.#header = header;
    }
  }

  read(chunk: Buffer): void {
    if (!this.#body.push(chunk)) {
      this.#giveUp(odd);
    }
  }

  ended(trailer: IncomingHttpHeaders): void {
    this.#trailer = trailer;
    const status = trailer["grpc-status"];
    if (status === undefined) {
      this.#giveUp(odd);
    } else if (Number(status) !== 0) {
      this.#settle(failed(connectErrorFromTrailers(trailer)));
    } else {
      const { message } = this.#body;
      if (message) {
        this.#settle({ outcome: "answered", message, header: this.#header, trailer });
      }
      // Else the rest of it may still be on its way through the stream.
    }
  }

  drained(): void {
    if (this.#trailer) {
      this.ended(this.#trailer);
    }
  }

  closed(): void {
    const isLost =
      this.#session.destroyed || this.#session.closed || this.#stream.rstCode === constants.NGHTTP2_REFUSED_STREAM;
    this.#settle(isLost ? lost : odd);
  }

  expire(): void {
    this.#giveUp(failed(new ConnectError("the operation timed out", Code.DeadlineExceeded), true));
  }

  #giveUp(outcome: LaneOutcome): void {
    this.#settle(outcome);
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  #settle(outcome: LaneOutcome): void {
    clearTimeout(this.#timer);
    if (this.#cancel) {
      this.#signal?.removeEventListener("abort", this.#cancel);
    }
    this.#stream[call] = undefined;
    this.#resolve(outcome);
  }
}

function failed(error: ConnectError, isLate = false): LaneOutcome {
  return { outcome: "failed", error, isLate };
}

function began(this: ClientHttp2Stream, header: IncomingHttpHeaders, flags: number): void {
  (this as CallStream)[call]?.began(header, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0);
}

function read(this: ClientHttp2Stream, chunk: Buffer): void {
  (this as CallStream)[call]?.read(chunk);
}

function ended(this: ClientHttp2Stream, trailer: IncomingHttpHeaders): void {
  (this as CallStream)[call]?.ended(trailer);
}

function drained(this: ClientHttp2Stream): void {
  (this as CallStream)[call]?.drained();
}

function closed(this: ClientHttp2Stream): void {
  (this as CallStream)[call]?.closed();
}

function expire(late: LaneCall): void {
  late.expire();
}

/** Of what goes wrong, the close tells, too. */
function ignore(): void {}
