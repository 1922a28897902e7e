import { answerInTurns } from "./answer-in-turns.ts";

/** Waits that end within this time of each other end together, in milliseconds. */
const tickMs = 20;

/** Something that ends at a time, or before. */
export interface Expiring {
  /** Its time is up. */
  expire(): void;
}

interface Tick {
  readonly timer: NodeJS.Timeout;
  readonly members: Set<Expiring>;
}

/**
 * When waits end: any number of them costs a timer for each 20 ms in which some do.
 *
 * I1 A wait ends up to 20 ms early rather than late: its caller has a deadline of its own.
 * I2 Once the registry closes, all of them end, and no other begins.
 */
export class WaitDeadlines {
  readonly #ticks = new Map<number, Tick>();
  readonly #closed: AbortSignal;

  constructor(closed: AbortSignal) {
    this.#closed = closed;
    closed.addEventListener("abort", () => this.#close(), { once: true });
  }

  /** Whether a wait of this length, in milliseconds, is one at all. */
  allows(timeoutMs: number): boolean {
    return timeoutMs >= tickMs && !this.#closed.aborted;
  }

  /** Sees to the end of a wait that `allows` allows. Answers what `delete` wants to know. */
  add(waiter: Expiring, timeoutMs: number): number {
    const nowMs = performance.now();
    const tick = Math.floor((nowMs + timeoutMs) / tickMs);
    let found = this.#ticks.get(tick);
    if (!found) {
      const timer = setTimeout(() => this.#expire(tick), tick * tickMs - nowMs).unref();
      found = { timer, members: new Set() };
      this.#ticks.set(tick, found);
    }
    found.members.add(waiter);
    return tick;
  }

  /** Forgets a wait that has ended. */
  delete(waiter: Expiring, tick: number): void {
    const found = this.#ticks.get(tick);
    if (found?.members.delete(waiter) && found.members.size === 0) {
      clearTimeout(found.timer);
      this.#ticks.delete(tick);
    }
  }

  #expire(tick: number): void {
    void answerInTurns(this.#ticks.get(tick)?.members ?? [], (waiter) => {
      waiter.expire();
      return true;
    });
  }

  #close(): void {
    for (const { members } of this.#ticks.values()) {
      for (const waiter of members) {
        waiter.expire();
      }
    }
  }
}
