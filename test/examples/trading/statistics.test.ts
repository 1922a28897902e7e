import { describe, expect, test } from "vitest";
import { EquityCurve } from "../../../examples/trading/equity-curve.ts";
import { mean, sampleDeviation, sharpeRatio } from "../../../examples/trading/statistics.ts";

test("the sample deviation divides by n - 1", () => {
  expect(sampleDeviation([2, 4, 4, 4, 5, 5, 7, 9])).toBeCloseTo(Math.sqrt(32 / 7), 12);
});

test("too few values are an error, not NaN", () => {
  expect(() => mean([])).toThrow(RangeError);
  expect(() => sampleDeviation([1])).toThrow(RangeError);
});

describe("sharpeRatio", () => {
  test("is mean over sample deviation, times the root of 252", () => {
    // Mean 0.02, deviation 0.01 * sqrt(2): sqrt(2) a day, sqrt(504) a year.
    expect(sharpeRatio([0.01, 0.03])).toBeCloseTo(Math.sqrt(504), 10);
  });

  test("is negative when money is lost", () => {
    expect(sharpeRatio([-0.01, -0.03])).toBeCloseTo(-Math.sqrt(504), 10);
  });

  test("is undefined for returns that never vary, and for a single one", () => {
    expect(sharpeRatio([0, 0, 0])).toBeUndefined();
    expect(sharpeRatio([0.01])).toBeUndefined();
  });
});

describe("EquityCurve", () => {
  test("measures each drawdown from the highest value so far", () => {
    const curve = new EquityCurve(100);
    const drawdowns = [120, 90, 130, 104].map((equity) => curve.push(equity));

    expect(drawdowns[0]).toBe(0);
    expect(drawdowns[1]).toBeCloseTo(0.25, 12);
    expect(drawdowns[2]).toBe(0);
    expect(drawdowns[3]).toBeCloseTo(0.2, 12);
    expect(curve.maxDrawdown).toBeCloseTo(0.25, 12);
    expect(curve.totalReturn).toBeCloseTo(0.04, 12);
  });

  test("counts a loss on the first day against the initial value", () => {
    expect(new EquityCurve(100).push(80)).toBeCloseTo(0.2, 12);
  });

  test("takes its Sharpe ratio of daily returns", () => {
    const curve = new EquityCurve(100);
    curve.push(101);
    curve.push(101 * 1.03);

    expect(curve.sharpeRatio).toBeCloseTo(Math.sqrt(504), 8);
  });
});
