import { PerformanceObserver } from "node:perf_hooks";
import { percentile } from "./statistics.ts";
import { threadMs } from "./thread-time.ts";

/** How long the event loop was held up at a time, in milliseconds. */
export interface LoopHolds {
  readonly p99Ms: number;
  readonly longestMs: number;
  /** The longest time that was neither garbage collection nor spent by others on the same core. */
  readonly longestOwnMs: number;
}

interface Turn {
  readonly fromMs: number;
  readonly toMs: number;
  readonly cpuMs: number;
}

/** Shorter turns than this, in milliseconds, are not looked into. */
const worthALook = 5;

/** Looks, each millisecond, how long the event loop has taken to come round. */
export class LoopWatch {
  readonly #turnsMs: number[] = [];
  readonly #longTurns: Turn[] = [];
  readonly #collections: Pick<Turn, "fromMs" | "toMs">[] = [];
  readonly #observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) {
      this.#collections.push({ fromMs: startTime, toMs: startTime + duration });
    }
  });
  readonly #timer: NodeJS.Timeout;
  #lastMs = performance.now();
  #lastCpuMs = threadMs();

  constructor() {
    this.#observer.observe({ entryTypes: ["gc"] });
    // Not setImmediate: that would keep the thread busy while nothing is to be done.
    this.#timer = setInterval(() => this.#turn(), 1);
  }

  /** Ends the watch. */
  async stop(): Promise<LoopHolds> {
    clearInterval(this.#timer);
    this.#turn();
    // Collections are told a turn later.
    await new Promise((resolve) => setTimeout(resolve, 10));
    this.#observer.disconnect();
    return {
      p99Ms: percentile(this.#turnsMs, 0.99),
      longestMs: Math.max(...this.#longTurns.map(({ fromMs, toMs }) => toMs - fromMs), percentile(this.#turnsMs, 1)),
      longestOwnMs: Math.max(...this.#longTurns.map((turn) => this.#ownMs(turn)), 0),
    };
  }

  #turn(): void {
    const [nowMs, cpuMs] = [performance.now(), threadMs()];
    this.#turnsMs.push(nowMs - this.#lastMs);
    if (nowMs - this.#lastMs > worthALook) {
      this.#longTurns.push({ fromMs: this.#lastMs, toMs: nowMs, cpuMs: cpuMs - this.#lastCpuMs });
    }
    [this.#lastMs, this.#lastCpuMs] = [nowMs, cpuMs];
  }

  /** At most what a turn took without collections, and at most what the thread worked in it. */
  #ownMs({ fromMs, toMs, cpuMs }: Turn): number {
    const collectedMs = this.#collections.reduce(
      (sum, each) => sum + Math.max(0, Math.min(toMs, each.toMs) - Math.max(fromMs, each.fromMs)),
      0,
    );
    return Math.min(toMs - fromMs - collectedMs, cpuMs);
  }
}
