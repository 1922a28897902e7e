import { type Context, context, ROOT_CONTEXT } from "@opentelemetry/api";
import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import { maximumLinks, sharedContext } from "../tracing/spans.ts";
import { pause } from "./pause.ts";
import type { PulledOperation } from "./pulled-operation.ts";
import type { RefreshOnRead } from "./refresh-on-read.ts";

/** Shortest time between two pulls on behalf of waiters, in milliseconds. */
const minimumGapMs = 100;

/**
 * Lets any number of callers wait for a change of one operation.
 *
 * I1 While somebody waits, one loop asks the source, and nobody else does; without waiters there is no loop.
 * I2 What the registry itself changes wakes the waiters at once, without the loop.
 * I3 The loop belongs to the trace of a caller only while that one waits alone; otherwise it links to all who wait.
 */
export class ChangeWatch {
  readonly #operation: PulledOperation;
  readonly #refresh: RefreshOnRead;
  readonly #intervalMs: number;
  /** What each waiter waits for. */
  readonly #waiting = new Map<symbol, Context>();
  #stop: AbortController | undefined;

  /** `intervalMs` is the time between two pulls from a source that cannot tell when it changes. */
  constructor(operation: PulledOperation, refresh: RefreshOnRead, intervalMs: number) {
    this.#operation = operation;
    this.#refresh = refresh;
    this.#intervalMs = Math.max(intervalMs, minimumGapMs);
  }

  /** How many callers wait. */
  get waiters(): number {
    return this.#waiting.size;
  }

  /**
   * Resolves with the newest snapshot once `isEnough` holds for it, the operation has ended or moved, `timeoutMs` have
   * passed or the signal aborts. Never rejects.
   */
  waitUntil(
    isEnough: (info: OperationInfo) => boolean,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<OperationInfo> {
    const operation = this.#operation;
    const satisfied = () => operation.isOver || isEnough(operation.info);
    return new Promise((resolve) => {
      if (satisfied() || timeoutMs <= 0 || signal?.aborted) {
        resolve(operation.info);
        return;
      }
      const waiter = Symbol();
      const done = () => {
        clearTimeout(timer);
        unsubscribe();
        signal?.removeEventListener("abort", done);
        this.#leave(waiter);
        resolve(operation.info);
      };
      const timer = setTimeout(done, timeoutMs).unref();
      const unsubscribe = operation.onChange(() => {
        if (satisfied()) {
          done();
        }
      });
      signal?.addEventListener("abort", done, { once: true });
      this.#enter(waiter);
    });
  }

  #enter(waiter: symbol): void {
    this.#waiting.set(waiter, context.active());
    if (!this.#stop) {
      const stop = new AbortController();
      this.#stop = stop;
      void context.with(ROOT_CONTEXT, () => this.#loop(stop.signal));
    }
  }

  #leave(waiter: symbol): void {
    this.#waiting.delete(waiter);
    if (this.#waiting.size === 0) {
      this.#stop?.abort();
      this.#stop = undefined;
    }
  }

  async #loop(stop: AbortSignal): Promise<void> {
    while (!stop.aborted && !this.#operation.isOver) {
      const changed =
        this.#forWaiters(() => this.#operation.source?.waitForChange?.(stop)) ?? pause(this.#intervalMs, stop);
      await Promise.all([changed, pause(minimumGapMs, stop)]);
      if (!stop.aborted) {
        // The store's trouble is told to those who write; waiters go on with what is known.
        await this.#forWaiters(() => this.#refresh.refresh(0, false)).catch(() => pause(this.#intervalMs, stop));
      }
    }
  }

  #forWaiters<T>(run: () => T): T {
    return context.with(
      sharedContext(
        this.#waiting
          .values()
          .take(maximumLinks + 1)
          .toArray(),
      ),
      run,
    );
  }
}
