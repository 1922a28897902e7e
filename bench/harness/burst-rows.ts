import type { Burst } from "./bursts.ts";
import type { Bar, Row } from "./row.ts";
import { ratios, spread } from "./statistics.ts";

/** What is told of each contender. */
export interface Figure {
  readonly question: string;
  readonly unit: string;
  readonly of: (burst: Burst) => number;
}

/** What a contender's figure is compared with. */
export interface Comparison {
  readonly of: string;
  readonly to: string;
  readonly bar?: Bar;
}

/** A row for each contender, with its ratios to others, round by round. */
export function burstRows(
  figure: Figure,
  bursts: ReadonlyMap<string, readonly Burst[]>,
  comparisons: readonly Comparison[] = [],
): Row[] {
  const figures = new Map(bursts.entries().map(([name, each]) => [name, each.map(figure.of)]));
  return [...figures].map(([subject, samples]) => ({
    question: figure.question,
    unit: figure.unit,
    subject,
    value: spread(samples),
    ratios: comparisons
      .filter(({ of }) => of === subject)
      .map(({ to, bar }) => ({ to, of: spread(ratios(samples, figures.get(to) ?? [])), ...(bar && { bar }) })),
  }));
}

/** CPU of one call. */
export const cpuOf = (burst: Burst) => burst.cpu;
