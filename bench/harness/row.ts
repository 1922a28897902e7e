/** Where the middle of some samples is, and how far they are apart. */
export interface Spread {
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
  readonly samples: number;
}

/** What a figure has to be. */
export type Bar = { readonly atMost: number } | { readonly atLeast: number };

/** A figure over that of another row of the same question, sample by sample of the same round. */
export interface Ratio {
  /** The other row's subject. */
  readonly to: string;
  readonly of: Spread;
  readonly bar?: Bar;
}

/** One figure. The rows of a question share a table and a plot, and therefore have one unit. */
export interface Row {
  readonly question: string;
  /** Whose figure it is. Unique within the question. */
  readonly subject: string;
  readonly value: Spread;
  /** "µs", "per s" and the like; what the question says it is of. */
  readonly unit: string;
  readonly bar?: Bar;
  readonly ratios?: readonly Ratio[];
  /** What a reader has to know about this figure. */
  readonly note?: string;
}

/** What a part is told. */
export interface BenchOptions {
  /** Fewer and shorter rounds: to see that it runs, not to publish. */
  readonly quick: boolean;
}

/** A part of the suite. */
export type BenchPart = (options: BenchOptions) => Promise<readonly Row[]>;

/** Whether the median keeps to the bar. */
export function isMet({ median }: Spread, bar: Bar): boolean {
  return "atMost" in bar ? median <= bar.atMost : median >= bar.atLeast;
}
