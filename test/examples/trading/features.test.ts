import { describe, expect, test } from "vitest";
import type { Bar } from "../../../examples/trading/bars.ts";
import { fitScaler, splitChronologically, standardize } from "../../../examples/trading/dataset.ts";
import { type Example, examplesFromBars, featureNames, featuresOfCloses } from "../../../examples/trading/features.ts";

describe("featuresOfCloses", () => {
  test("doubling prices, by hand", () => {
    // Window 4, short 2; averages: (2 + 4 + 8 + 16) / 4 = 7.5 and (8 + 16) / 2 = 12.
    const features = featuresOfCloses([1, 2, 4, 8, 16]);
    const expected = [Math.LN2, 2 * Math.LN2, 4 * Math.LN2, 16 / 7.5 - 1, 12 / 7.5 - 1, 0];

    expect(features).toHaveLength(featureNames.length);
    for (const [index, value] of expected.entries()) expect(features[index]).toBeCloseTo(value, 12);
  });

  test("the volatility is the sample deviation of the daily returns", () => {
    // Returns ln 2, -ln 2, ln 2, -ln 2: mean 0, sum of squares 4 ln² 2 over 3.
    expect(featuresOfCloses([1, 2, 1, 2, 1]).at(-1)).toBeCloseTo(Math.LN2 * Math.sqrt(4 / 3), 12);
  });
});

describe("examplesFromBars", () => {
  const closes = [5, 6, 7, 6, 8, 9, 9, 4];

  test("labels a day by whether the next one closes higher", () => {
    const examples = examplesFromBars(barsOf(closes), 4);

    expect(examples.map(({ date, label }) => [date, label])).toEqual([
      ["2000-01-05", 1],
      ["2000-01-06", 0],
      ["2000-01-07", 0],
    ]);
  });

  test("gives every day the features of its own closes", () => {
    const examples = examplesFromBars(barsOf(closes), 4);

    expect(examples[0]?.features).toEqual(featuresOfCloses([5, 6, 7, 6, 8]));
    expect(examples[2]?.features).toEqual(featuresOfCloses([7, 6, 8, 9, 9]));
  });

  test("a day after changes the label and none of the features", () => {
    const before = examplesFromBars(barsOf([5, 6, 7, 6, 8, 9]), 4);
    const after = examplesFromBars(barsOf([5, 6, 7, 6, 8, 1]), 4);

    expect(before.map((example) => example.label)).toEqual([1]);
    expect(after.map((example) => example.label)).toEqual([0]);
    expect(after[0]?.features).toEqual(before[0]?.features);
  });
});

describe("splitChronologically", () => {
  test("keeps the newest examples for validation", () => {
    const { training, validation } = splitChronologically(examplesOf([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), 0.2);

    expect(training.map((example) => example.features[0])).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(validation.map((example) => example.features[0])).toEqual([9, 10]);
  });

  test("refuses what leaves a side without examples", () => {
    expect(() => splitChronologically(examplesOf([1, 2, 3]), 0.2)).toThrow("3 examples are too few");
  });
});

describe("standardize", () => {
  test("brings the training side to mean 0 and deviation 1", () => {
    const { training } = standardize({ training: examplesOf([1, 2, 3]), validation: examplesOf([4]) });
    expect(training.map((example) => example.features)).toEqual([[-1], [0], [1]]);
  });

  test("measures on the training side alone", () => {
    const training = examplesOf([1, 2, 3]);
    const calm = standardize({ training, validation: examplesOf([4, 5]) });
    const wild = standardize({ training, validation: examplesOf([1e6, -1e6]) });

    expect(wild.training).toEqual(calm.training);
    expect(calm.validation.map((example) => example.features)).toEqual([[2], [3]]);
  });

  test("a feature that never varies becomes 0, not NaN", () => {
    expect(fitScaler(examplesOf([3, 3, 3]))([3])).toEqual([0]);
  });
});

function barsOf(closes: readonly number[]): Bar[] {
  return closes.map((close, index) => ({
    date: `2000-01-0${index + 1}`,
    open: close,
    high: close,
    low: close,
    close,
    adjustedClose: close,
    volume: 0,
  }));
}

function examplesOf(values: readonly number[]): Example[] {
  return values.map((value) => ({ date: "2000-01-03", features: [value], label: 0 }));
}
