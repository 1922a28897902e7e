import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { CallError } from "../operations/errors.ts";

/**
 * The streams that clients hold open. There is room for so many, and all of them end when the server stops: a stream
 * would keep its connection open for as long as the client likes.
 */
export class OpenStreams {
  readonly #stopping: AbortSignal;
  readonly #room: number;
  #count = 0;

  /** `stopping` aborts when the server wants no more streams. */
  constructor(stopping: AbortSignal, room: number) {
    this.#stopping = stopping;
    this.#room = room;
  }

  /**
   * Answers a call with messages for as long as it may last. `produce` gets a signal that aborts when the client has
   * gone, its deadline has passed or the server stops, and must end then.
   *
   * Ends with a CallError: TOO_MANY_WAITERS when there is no room, SHUTTING_DOWN or DEADLINE_EXCEEDED.
   */
  async *hold<T>(context: HandlerContext, produce: (ended: AbortSignal) => AsyncIterable<T>): AsyncGenerator<T> {
    if (this.#count >= this.#room) {
      throw new CallError("TOO_MANY_WAITERS", `the server has ${this.#room} streams open, which is all it may`);
    }
    this.#count++;
    try {
      yield* produce(AbortSignal.any([context.signal, this.#stopping]));
    } finally {
      this.#count--;
    }
    if (this.#stopping.aborted) {
      throw new CallError("SHUTTING_DOWN", "the server is stopping");
    }
    if (context.signal.aborted && ConnectError.from(context.signal.reason).code === Code.DeadlineExceeded) {
      throw new CallError("DEADLINE_EXCEEDED", "the deadline of the stream has passed");
    }
  }
}
