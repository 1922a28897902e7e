/** A part of an operation's percentage with a name. */
export interface ProgressPhase {
  readonly name: string;
  /** Where it begins, 0 to 100. */
  readonly fromPercentage: number;
  /** Where it ends, fromPercentage to 100. */
  readonly toPercentage: number;
}

/** A part of a step's range, in percent of the whole operation. */
export interface PercentageRange {
  readonly from: number;
  readonly to: number;
}

/**
 * One open step, or the operation itself as the outermost one.
 *
 * I1. `from` ≤ `reached` ≤ `to`, in percent of the whole operation; `reached` never goes back.
 * I2. The range of an inner step lies within `from` to `to`.
 */
export class ProgressStep {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  /** Items in all; 0 means unknown. */
  readonly items: number;
  /** Inner steps in all; 0 means unknown. */
  readonly totalSteps: number;
  /** Inner steps done. */
  stepsCompleted = 0;
  #reached: number;

  constructor(name: string, { from, to }: PercentageRange, counts: { items?: number; totalSteps?: number } = {}) {
    this.name = name;
    this.from = from;
    this.to = to;
    this.items = checkedCount("items", counts.items ?? 0);
    this.totalSteps = checkedCount("totalSteps", counts.totalSteps ?? 0);
    this.#reached = from;
  }

  /** How far the step has come, in percent of the whole operation. */
  get reached(): number {
    return this.#reached;
  }

  /** Moves on to where the fraction of the range, 0 to 1, ends. */
  reachFraction(fraction: number): void {
    this.reach(this.from + (this.to - this.from) * fraction);
  }

  /** Moves on to a percentage of the whole operation, kept within the range; an earlier one changes nothing. */
  reach(percentage: number): void {
    this.#reached = Math.max(this.#reached, Math.min(percentage, this.to));
  }

  /** The range of an inner step that names its own, in percent of this step. A missing bound is where this step is. */
  innerRange(fromPercentage: number | undefined, toPercentage: number | undefined): PercentageRange {
    const width = this.to - this.from;
    const reachedHere = width === 0 ? 0 : Math.min(((this.#reached - this.from) / width) * 100, 100);
    const { from, to } = checkedRange("step", fromPercentage ?? reachedHere, toPercentage ?? 100);
    return { from: this.#at(from), to: this.#at(to) };
  }

  /** The range of an inner step that names none: an equal share of what is left, or all of it. */
  nextShare(): PercentageRange {
    const stepsLeft = Math.max(this.totalSteps - this.stepsCompleted, 1);
    const from = this.#reached;
    return { from, to: stepsLeft === 1 ? this.to : from + (this.to - from) / stepsLeft };
  }

  #at(percentage: number): number {
    const width = this.to - this.from;
    // In the operation itself a percentage stays what it is, to the last digit.
    return width === 100 ? percentage : Math.min(this.from + (width * percentage) / 100, this.to);
  }
}

/** The range, if it lies within 0 to 100 and does not end before it begins; else a RangeError naming it. */
export function checkedRange(owner: string, from: number, to: number): PercentageRange {
  if (!(from >= 0 && from <= 100)) throw new RangeError(`${owner}: fromPercentage must be 0 to 100, not ${from}`);
  if (!(to >= from && to <= 100)) {
    throw new RangeError(`${owner}: toPercentage must be ${from} (fromPercentage) to 100, not ${to}`);
  }
  return { from, to };
}

/** The count, if it is finite and not negative; else a RangeError naming it. */
export function checkedCount(name: string, count: number): number {
  if (!(count >= 0 && count < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`${name} must be a finite number of 0 or more, not ${count}`);
  }
  return count;
}
