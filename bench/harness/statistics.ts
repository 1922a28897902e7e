import type { Spread } from "./row.ts";

/** The value below which a share of the samples lies, between two samples by their distance. NaN without samples. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = Float64Array.from(samples).sort();
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below] ?? Number.NaN;
  const high = sorted[Math.ceil(position)] ?? low;
  return low + (high - low) * (position - below);
}

/** Median, 10th and 90th percentile. */
export function spread(samples: readonly number[]): Spread {
  const [median, p10, p90] = [percentile(samples, 0.5), percentile(samples, 0.1), percentile(samples, 0.9)];
  return { median, p10, p90, samples: samples.length };
}

/** Quotients of the samples that belong together. */
export function ratios(samples: readonly number[], to: readonly number[]): number[] {
  return samples.map((sample, index) => sample / (to[index] ?? Number.NaN));
}

/** The items in random order, in a new array. */
export function shuffled<T>(items: readonly T[]): T[] {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [order[last], order[other]] = [order[other] as T, order[last] as T];
  }
  return order;
}
