import type { Example } from "./features.ts";
import { mean, sampleDeviation } from "./statistics.ts";

/** Examples to learn from and examples to judge by; every one of the first is older than every one of the second. */
export interface Dataset {
  readonly training: readonly Example[];
  readonly validation: readonly Example[];
}

/** Brings features to mean 0 and standard deviation 1, as measured where it was fitted. */
export type Scaler = (features: readonly number[]) => number[];

/**
 * Cuts examples, oldest first, in time: the newest `validationShare` of them are for validation. Never shuffled, since
 * neighbouring days share most of their window. Throws a RangeError when either side would have fewer than two.
 */
export function splitChronologically(examples: readonly Example[], validationShare: number): Dataset {
  const cut = Math.round(examples.length * (1 - validationShare));
  if (cut < 2 || examples.length - cut < 2) {
    throw new RangeError(`${examples.length} examples are too few to train and to validate`);
  }
  return { training: examples.slice(0, cut), validation: examples.slice(cut) };
}

/** Measures mean and deviation of each feature. A feature that never varies is only centred. */
export function fitScaler(examples: readonly Example[]): Scaler {
  const columns = (examples.at(0)?.features ?? []).map((_, column) => {
    const values = examples.map((example) => example.features[column] ?? Number.NaN);
    return { centre: mean(values), scale: sampleDeviation(values) || 1 };
  });
  return (features) => columns.map(({ centre, scale }, column) => ((features[column] ?? Number.NaN) - centre) / scale);
}

/** Scales both sides by what the training side alone says: what is only known later must not shape what is learned. */
export function standardize(dataset: Dataset): Dataset {
  const scaler = fitScaler(dataset.training);
  const scaled = (example: Example): Example => ({ ...example, features: scaler(example.features) });
  return { training: dataset.training.map(scaled), validation: dataset.validation.map(scaled) };
}
