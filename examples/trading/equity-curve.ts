// I1. The peak is the highest equity pushed so far, the initial one included.
// I2. There is one daily return for each equity pushed, against the one before.
import { sharpeRatio } from "./statistics.ts";

/** The value of an account day by day, and what is said of it. */
export class EquityCurve {
  readonly #initial: number;
  readonly #returns: number[] = [];
  #last: number;
  #peak: number;
  #maxDrawdown = 0;

  /** Begins with the account's first value, which must be positive. */
  constructor(initial: number) {
    this.#initial = initial;
    this.#last = initial;
    this.#peak = initial;
  }

  /** Adds the value at the end of a day and returns its drawdown: the fall from the peak (I1), 0 to 1. */
  push(equity: number): number {
    this.#returns.push(equity / this.#last - 1);
    this.#last = equity;
    this.#peak = Math.max(this.#peak, equity);
    const drawdown = 1 - equity / this.#peak;
    this.#maxDrawdown = Math.max(this.#maxDrawdown, drawdown);
    return drawdown;
  }

  /** The newest value. */
  get last(): number {
    return this.#last;
  }

  /** The newest value over the initial one, less 1. */
  get totalReturn(): number {
    return this.#last / this.#initial - 1;
  }

  /** The largest drawdown of any day, 0 to 1. */
  get maxDrawdown(): number {
    return this.#maxDrawdown;
  }

  /** Annualised; undefined while the value has never moved. */
  get sharpeRatio(): number | undefined {
    return sharpeRatio(this.#returns);
  }
}
