import { context, ROOT_CONTEXT } from "@opentelemetry/api";
import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import { maximumLinks, sharedContext } from "../tracing/spans.ts";
import { answerInTurns } from "./answer-in-turns.ts";
import { pause } from "./pause.ts";
import type { PulledOperation } from "./pulled-operation.ts";
import type { RefreshOnRead } from "./refresh-on-read.ts";
import type { Expiring, WaitDeadlines } from "./wait-deadlines.ts";

/** Shortest time between two pulls on behalf of waiters, in milliseconds. */
const minimumGapMs = 100;

/** How a wait has ended: the operation is as wanted, or over; or the time was, the caller has gone, or all is closed. */
export type WaitEnd = "changed" | "timeUp";

/** All who wait for one operation. */
interface Crowd {
  readonly waiters: Set<Waiter>;
  /** Ends the loop that asks the source. */
  readonly stop: AbortController;
  readonly unsubscribe: () => void;
  readonly leave: (waiter: Waiter, end: WaitEnd) => void;
  /** Resolves when those have been woken whom the last change has satisfied. */
  waking: Promise<void>;
}

/** One who waits. There may be tens of thousands: it has no timer and no function of its own, and is its own listener. */
class Waiter implements Expiring {
  readonly crowd: Crowd;
  readonly isEnough: (info: OperationInfo) => boolean;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (end: WaitEnd) => void;
  /** What it waits for. */
  readonly cause = context.active();
  /** Where its deadline is kept. */
  tick = 0;

  constructor(
    crowd: Crowd,
    isEnough: (info: OperationInfo) => boolean,
    signal: AbortSignal | undefined,
    resolve: (end: WaitEnd) => void,
  ) {
    this.crowd = crowd;
    this.isEnough = isEnough;
    this.signal = signal;
    this.resolve = resolve;
  }

  expire(): void {
    this.crowd.leave(this, "timeUp");
  }

  /** Its signal aborts. */
  handleEvent(): void {
    this.expire();
  }
}

/**
 * Lets any number of callers wait for a change of one operation.
 *
 * I1 While somebody waits, one loop asks the source, and nobody else does; without waiters there is no loop.
 * I2 What the registry itself changes wakes the waiters at once, without the loop; many of them in several turns of the
 *    event loop, each with the snapshot that is the newest in its turn.
 * I3 The loop belongs to the trace of a caller only while that one waits alone; otherwise it links to all who wait.
 */
export class ChangeWatch {
  readonly #operation: PulledOperation;
  readonly #refresh: RefreshOnRead;
  readonly #deadlines: WaitDeadlines;
  readonly #intervalMs: number;
  #crowd: Crowd | undefined;

  /** `intervalMs` is the time between two pulls from a source that cannot tell when it changes. */
  constructor(operation: PulledOperation, refresh: RefreshOnRead, deadlines: WaitDeadlines, intervalMs: number) {
    this.#operation = operation;
    this.#refresh = refresh;
    this.#deadlines = deadlines;
    this.#intervalMs = Math.max(intervalMs, minimumGapMs);
  }

  /** How many callers wait. */
  get waiters(): number {
    return this.#crowd?.waiters.size ?? 0;
  }

  /**
   * Resolves once `isEnough` holds for the newest snapshot, the operation has ended or moved, `timeoutMs` have passed (or
   * 20 ms less), the signal aborts or the registry closes. Never rejects.
   */
  waitUntil(isEnough: (info: OperationInfo) => boolean, timeoutMs: number, signal?: AbortSignal): Promise<WaitEnd> {
    if (this.#isSatisfied(isEnough)) {
      return Promise.resolve("changed");
    }
    if (signal?.aborted || !this.#deadlines.allows(timeoutMs)) {
      return Promise.resolve("timeUp");
    }
    return new Promise((resolve) => {
      const crowd = this.#crowd ?? this.#gather();
      const waiter = new Waiter(crowd, isEnough, signal, resolve);
      waiter.tick = this.#deadlines.add(waiter, timeoutMs);
      signal?.addEventListener("abort", waiter, { once: true });
      crowd.waiters.add(waiter);
      if (this.#crowd !== crowd) {
        this.#crowd = crowd;
        void context.with(ROOT_CONTEXT, () => this.#loop(crowd));
      }
    });
  }

  #isSatisfied(isEnough: (info: OperationInfo) => boolean): boolean {
    return this.#operation.isOver || isEnough(this.#operation.info);
  }

  #gather(): Crowd {
    const crowd: Crowd = {
      waiters: new Set(),
      stop: new AbortController(),
      unsubscribe: this.#operation.onChange(() => this.#wake(crowd)),
      leave: (waiter, end) => this.#leave(crowd, waiter, end),
      waking: Promise.resolve(),
    };
    return crowd;
  }

  #wake(crowd: Crowd): void {
    crowd.waking = answerInTurns(crowd.waiters, (waiter) => {
      const isWoken = this.#isSatisfied(waiter.isEnough);
      if (isWoken) {
        this.#leave(crowd, waiter, "changed");
      }
      return isWoken;
    });
  }

  #leave(crowd: Crowd, waiter: Waiter, end: WaitEnd): void {
    crowd.waiters.delete(waiter);
    this.#deadlines.delete(waiter, waiter.tick);
    waiter.signal?.removeEventListener("abort", waiter);
    waiter.resolve(end);
    if (crowd.waiters.size === 0) {
      crowd.stop.abort();
      crowd.unsubscribe();
      this.#crowd = undefined;
    }
  }

  async #loop(crowd: Crowd): Promise<void> {
    const stop = crowd.stop.signal;
    while (!stop.aborted && !this.#operation.isOver) {
      const changed =
        forCrowd(crowd, () => this.#operation.source?.waitForChange?.(stop)) ?? pause(this.#intervalMs, stop);
      await Promise.all([changed, pause(minimumGapMs, stop)]);
      if (!stop.aborted) {
        // The store's trouble is told to those who write; waiters go on with what is known.
        await forCrowd(crowd, () => this.#refresh.refresh(0, false)).catch(() => pause(this.#intervalMs, stop));
        // Else the source would be asked again for the sake of those who are about to be answered.
        await crowd.waking;
      }
    }
  }
}

/** Runs what is done for all who wait. */
function forCrowd<T>({ waiters }: Crowd, run: () => T): T {
  const causes = waiters
    .values()
    .take(maximumLinks + 1)
    .map(({ cause }) => cause)
    .toArray();
  return context.with(sharedContext(causes), run);
}
