// I1. Only closes pushed so far are known, so a signal cannot look ahead.
// I2. At most the newest `slow` closes are kept.
import { mean } from "./statistics.ts";

/** What the strategy wants after a close. */
export type Signal = "buy" | "sell" | "hold";

/** The strategy's view after a close. */
export interface CrossoverReading {
  readonly signal: Signal;
  /** Mean of the newest `fast` closes. Undefined before there are so many. */
  readonly fastAverage?: number;
  /** Mean of the newest `slow` closes. Undefined before there are so many. */
  readonly slowAverage?: number;
}

/** Moving-average crossover: buy when the fast average rises above the slow one, sell when it falls below it. */
export class Crossover {
  readonly #fast: number;
  readonly #slow: number;
  readonly #closes: number[] = [];
  /** Sign of the last difference of the averages that was not 0. */
  #side = 0;

  /** Lengths of the averages in bars. Throws a RangeError unless 1 <= fast < slow. */
  constructor(fast: number, slow: number) {
    if (!(fast >= 1 && fast < slow)) throw new RangeError(`fast (${fast}) must be less than slow (${slow})`);
    this.#fast = fast;
    this.#slow = slow;
  }

  /**
   * Takes the next close. Averages that touch and part again on the same side have not crossed, and the side of the
   * first comparison is a starting point, no crossing.
   */
  push(close: number): CrossoverReading {
    this.#closes.push(close);
    if (this.#closes.length > this.#slow) this.#closes.shift();
    if (this.#closes.length < this.#fast) return { signal: "hold" };
    // Summed anew each time: a running sum would drift and could cross where the averages are equal.
    const fastAverage = mean(this.#closes.slice(-this.#fast));
    if (this.#closes.length < this.#slow) return { signal: "hold", fastAverage };
    const slowAverage = mean(this.#closes);
    return { signal: this.#cross(Math.sign(fastAverage - slowAverage)), fastAverage, slowAverage };
  }

  #cross(side: number): Signal {
    if (side === 0 || side === this.#side) return "hold";
    const previous = this.#side;
    this.#side = side;
    if (previous === 0) return "hold";
    return side > 0 ? "buy" : "sell";
  }
}
