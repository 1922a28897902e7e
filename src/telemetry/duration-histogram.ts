import type { Metric, Registry } from "prom-client";

/** What a histogram of durations is called, and how it sorts them. */
export interface DurationHistogramOptions {
  readonly name: string;
  readonly help: string;
  /** The one label. */
  readonly label: string;
  /** Upper bounds in seconds, ascending, each within its bucket; longer ones are only in the sum and the count. */
  readonly buckets: readonly number[];
}

/** The durations of one value of the label. */
export interface ObservedDurations {
  observe(seconds: number): void;
}

/**
 * A histogram for what is observed with every call. It shows what prom-client's own would show; but that one looks the
 * labels up and checks them at each observation, for several times what the counting itself costs. Answers what counts
 * for one value of the label, which is shown from then on, so it wants to be asked once for each.
 */
export function createDurationHistogram(
  registry: Registry,
  { name, help, label, buckets }: DurationHistogramOptions,
): (value: string) => ObservedDurations {
  const all: Durations[] = [];
  const get = async () => ({
    name,
    help,
    type: "histogram",
    values: all.flatMap((durations) => durations.samples(name, label)),
  });
  // All that a registry needs of a metric whose page is asked for.
  registry.registerMetric({ name, get } as unknown as Metric);
  return (value) => {
    const durations = new Durations(value, buckets);
    all.push(durations);
    return durations;
  };
}

class Durations implements ObservedDurations {
  readonly #value: string;
  readonly #buckets: readonly number[];
  /** By bucket, those of its own alone; the last one is of those that are longer than all buckets. */
  readonly #counts: number[];
  #sum = 0;

  constructor(value: string, buckets: readonly number[]) {
    this.#value = value;
    this.#buckets = buckets;
    this.#counts = Array<number>(buckets.length + 1).fill(0);
  }

  observe(seconds: number): void {
    const buckets = this.#buckets;
    let bucket = 0;
    // Most calls are in the first few.
    while (bucket < buckets.length && seconds > (buckets[bucket] as number)) {
      bucket += 1;
    }
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
    this.#sum += seconds;
  }

  /** The lines of the page: how many took no longer than each bound, their sum and their count. */
  samples(name: string, label: string): object[] {
    const labels = { [label]: this.#value };
    let count = 0;
    const lines: object[] = this.#counts.map((own, bucket) => {
      count += own;
      return { metricName: `${name}_bucket`, labels: { le: this.#buckets[bucket] ?? "+Inf", ...labels }, value: count };
    });
    return [
      ...lines,
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  }
}
