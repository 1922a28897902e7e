import { expect, test } from "vitest";
import { isMet } from "../../bench/harness/row.ts";
import { percentile, ratios, shuffled, spread } from "../../bench/harness/statistics.ts";

test("a percentile lies between two samples by their distance, whatever their order", () => {
  expect(percentile([40, 10, 30, 20], 0.5)).toBe(25);
  expect(percentile([40, 10, 30, 20], 0)).toBe(10);
  expect(percentile([40, 10, 30, 20], 1)).toBe(40);
  expect(percentile([7], 0.99)).toBe(7);
  expect(percentile([], 0.5)).toBeNaN();
});

test("samples are ordered as numbers", () => {
  expect(spread([100, 9, 20, 30, 40])).toEqual({ median: 30, p10: 13.4, p90: 76, samples: 5 });
});

test("ratios are taken sample by sample", () => {
  expect(ratios([10, 40], [5, 10])).toEqual([2, 4]);
});

test("shuffling keeps every item and leaves the original as it was", () => {
  const items = Array.from({ length: 50 }, (_, index) => index);
  const order = shuffled(items);
  expect(order).not.toEqual(items);
  expect(order.toSorted((a, b) => a - b)).toEqual(items);
});

test("a bar is met at its own value", () => {
  expect(isMet(spread([1.6]), { atMost: 1.6 })).toBe(true);
  expect(isMet(spread([1.61]), { atMost: 1.6 })).toBe(false);
  expect(isMet(spread([4]), { atLeast: 4 })).toBe(true);
  expect(isMet(spread([3.9]), { atLeast: 4 })).toBe(false);
});
