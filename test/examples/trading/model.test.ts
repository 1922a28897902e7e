import { describe, expect, test } from "vitest";
import type { Example } from "../../../examples/trading/features.ts";
import { Model } from "../../../examples/trading/model.ts";
import { createRandom, shuffledIndices } from "../../../examples/trading/random.ts";

const exclusiveOr: readonly Example[] = [
  { date: "2000-01-03", features: [-1, -1], label: 0 },
  { date: "2000-01-04", features: [-1, 1], label: 1 },
  { date: "2000-01-05", features: [1, -1], label: 1 },
  { date: "2000-01-06", features: [1, 1], label: 0 },
];

describe("Model", () => {
  test("its gradient is the slope of its loss in every weight", () => {
    const model = new Model(3, 4, createRandom(5));
    const examples = randomExamples(20, 3);
    const gradient = model.gradient(examples);

    expect(gradient).toHaveLength(4 * (3 + 1) + 4 + 1);
    for (const [index, slope] of gradient.entries()) {
      const numeric = numericSlope(model, examples, index);
      expect(Math.abs(slope - numeric), `weight ${index}`).toBeLessThan(1e-8);
      expect(slope, `weight ${index}`).not.toBe(0);
    }
  });

  test("without weights it says one half, and its loss is ln 2", () => {
    const model = new Model(2, 3, createRandom(1));
    model.weights.fill(0);

    expect(model.probability([3, -2])).toBe(0.5);
    expect(model.evaluate(exclusiveOr).loss).toBeCloseTo(Math.LN2, 12);
  });

  test("computes the probability of a network worked out by hand", () => {
    const model = new Model(1, 1, createRandom(1));
    // Hidden tanh(2x + 1), output 3h - 1; at x = 0.
    model.weights.set([2, 1, 3, -1]);

    expect(model.probability([0])).toBeCloseTo(1 / (1 + Math.exp(-(3 * Math.tanh(1) - 1))), 12);
  });

  test("learns what no straight line can part", () => {
    const model = new Model(2, 4, createRandom(3));
    for (let step = 0; step < 500; step++) model.descend(exclusiveOr, 0.5);

    expect(model.evaluate(exclusiveOr).accuracy).toBe(1);
    expect(model.evaluate(exclusiveOr).loss).toBeLessThan(0.1);
  });

  test("a hopelessly wrong answer costs a finite loss", () => {
    const model = new Model(1, 1, createRandom(1));
    model.weights.set([0, 100, 2000, 0]);

    expect(model.evaluate([{ date: "2000-01-03", features: [1], label: 0 }]).loss).toBeCloseTo(2000, 6);
  });
});

describe("createRandom", () => {
  test("gives the published sequence of mulberry32", () => {
    const random = createRandom(0);
    expect([random(), random()]).toEqual([0.26642920868471265, 0.0003297457005828619]);
  });

  test("shuffles every index exactly once", () => {
    const indices = shuffledIndices(100, createRandom(1));

    expect([...indices].sort((left, right) => left - right)).toEqual(Array.from({ length: 100 }, (_, index) => index));
    expect(indices).not.toEqual(indices.toSorted());
    expect(shuffledIndices(100, createRandom(2))).not.toEqual(indices);
  });
});

function numericSlope(model: Model, examples: readonly Example[], index: number): number {
  const weight = model.weights[index] ?? Number.NaN;
  const step = 1e-5;
  const lossAt = (value: number): number => {
    model.weights[index] = value;
    return model.evaluate(examples).loss;
  };
  const slope = (lossAt(weight + step) - lossAt(weight - step)) / (2 * step);
  model.weights[index] = weight;
  return slope;
}

function randomExamples(count: number, inputs: number): Example[] {
  const random = createRandom(9);
  return Array.from({ length: count }, () => ({
    date: "2000-01-03",
    features: Array.from({ length: inputs }, () => 4 * random() - 2),
    label: random() < 0.5 ? 0 : 1,
  }));
}
