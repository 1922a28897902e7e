import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { estimateRemainingMs } from "../../src/progress/time-estimate.ts";

describe("estimateRemainingMs", () => {
  test("without earlier runs the run's own rate counts", () => {
    expect(estimateRemainingMs({ percentage: 25, elapsedMs: 10_000 })).toBe(30_000);
  });

  test("before the first percent an earlier run counts, less what has passed", () => {
    expect(estimateRemainingMs({ percentage: 0, elapsedMs: 10_000, earlierRunMs: 60_000 })).toBe(50_000);
    expect(estimateRemainingMs({ percentage: 0, elapsedMs: 90_000, earlierRunMs: 60_000 })).toBe(0);
  });

  test("the further the run, the more its own rate counts", () => {
    // The own rate leaves 100 s, the earlier one 25 s: blended half and half.
    expect(estimateRemainingMs({ percentage: 50, elapsedMs: 100_000, earlierRunMs: 50_000 })).toBe(62_500);
  });

  test("there is nothing to estimate from without progress or an earlier run", () => {
    expect(estimateRemainingMs({ percentage: 0, elapsedMs: 10_000 })).toBeUndefined();
    expect(estimateRemainingMs({ percentage: Number.NaN, elapsedMs: 10_000, earlierRunMs: 5 })).toBeUndefined();
  });

  test("what would take longer than ten years is no estimate", () => {
    expect(estimateRemainingMs({ percentage: 2.5e-322, elapsedMs: 10_000 })).toBeUndefined();
    expect(estimateRemainingMs({ percentage: 50, elapsedMs: 1e14, earlierRunMs: 1 })).toBeUndefined();
  });

  test("a run at the end has nothing left", () => {
    expect(estimateRemainingMs({ percentage: 100, elapsedMs: 10_000, earlierRunMs: 60_000 })).toBe(0);
    expect(estimateRemainingMs({ percentage: 120, elapsedMs: 10_000 })).toBe(0);
  });

  test("it lies between what the two rates leave", () => {
    const positive = fc.integer({ min: 1, max: 10 ** 9 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 99 }), positive, positive, (percentage, elapsedMs, earlierRunMs) => {
        const own = (elapsedMs * (100 - percentage)) / percentage;
        const earlier = (earlierRunMs * (100 - percentage)) / 100;
        const estimate = estimateRemainingMs({ percentage, elapsedMs, earlierRunMs });
        expect(estimate).toBeGreaterThanOrEqual(Math.min(own, earlier) * (1 - 1e-9));
        expect(estimate).toBeLessThanOrEqual(Math.max(own, earlier) * (1 + 1e-9));
      }),
    );
  });
});
