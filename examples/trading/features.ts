import type { Bar } from "./bars.ts";
import { mean, sampleDeviation } from "./statistics.ts";

/** What is known at the close of a day, and what came of it. */
export interface Example {
  /** The day at whose close the features are known. */
  readonly date: string;
  /** In the order of `featureNames`. */
  readonly features: readonly number[];
  /** Whether the next day closed higher: 1, or 0 for lower or equal. */
  readonly label: 0 | 1;
}

/** What the features are called. Returns are logarithmic; "short" is a quarter of the window. */
export const featureNames = [
  "return_day",
  "return_short",
  "return_window",
  "close_to_average",
  "short_average_to_average",
  "volatility",
] as const;

/**
 * The features at the last of `closes`, which must be exactly window + 1: nothing later can be seen, because nothing
 * later is given. Window at least 4.
 */
export function featuresOfCloses(closes: readonly number[]): number[] {
  const window = closes.length - 1;
  const short = Math.max(2, Math.round(window / 4));
  const returns = closes.slice(1).map((close, index) => Math.log(close / (closes[index] ?? Number.NaN)));
  const last = closes.at(-1) ?? Number.NaN;
  const average = mean(closes.slice(-window));
  return [
    returns.at(-1) ?? Number.NaN,
    sum(returns.slice(-short)),
    sum(returns),
    last / average - 1,
    mean(closes.slice(-short)) / average - 1,
    sampleDeviation(returns),
  ];
}

/**
 * One example for each bar that has `window` bars before it and one after it, oldest first. The features of a day use
 * the closes of that day and the `window` days before it, the label alone uses the day after.
 */
export function examplesFromBars(bars: readonly Bar[], window: number): Example[] {
  const closes = bars.map((bar) => bar.close);
  return bars.slice(window, -1).map((bar, index) => {
    const next = closes[index + window + 1] ?? Number.NaN;
    return {
      date: bar.date,
      features: featuresOfCloses(closes.slice(index, index + window + 1)),
      label: next > bar.close ? 1 : 0,
    };
  });
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
