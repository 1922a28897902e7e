import { describe, expect, test } from "vitest";
import { Crossover } from "../../../examples/trading/crossover.ts";

describe("Crossover", () => {
  test("buys when the fast average rises above the slow one and sells when it falls below", () => {
    // fast 1, slow 2: the close against the mean of the last two.
    expect(signals(1, 2, [10, 8, 9, 7])).toEqual(["hold", "hold", "buy", "sell"]);
  });

  test("takes averages that touch and part on the same side for no crossing", () => {
    expect(signals(1, 2, [10, 8, 9, 9, 10])).toEqual(["hold", "hold", "buy", "hold", "hold"]);
  });

  test("sees a crossing that passes through equality", () => {
    expect(signals(1, 2, [10, 8, 8, 9])).toEqual(["hold", "hold", "hold", "buy"]);
  });

  test("is silent until the slow average exists and has a side to leave", () => {
    expect(signals(1, 3, [1, 2, 3, 4])).toEqual(["hold", "hold", "hold", "hold"]);
  });

  test("tells the averages as soon as there are bars for them", () => {
    const crossover = new Crossover(2, 3);

    expect(crossover.push(1)).toEqual({ signal: "hold" });
    expect(crossover.push(3)).toEqual({ signal: "hold", fastAverage: 2 });
    expect(crossover.push(8)).toEqual({ signal: "hold", fastAverage: 5.5, slowAverage: 4 });
    expect(crossover.push(1)).toEqual({ signal: "hold", fastAverage: 4.5, slowAverage: 4 });
  });

  test("refuses a fast average that is not faster", () => {
    expect(() => new Crossover(5, 5)).toThrow("fast (5) must be less than slow (5)");
  });
});

function signals(fast: number, slow: number, closes: readonly number[]): string[] {
  const crossover = new Crossover(fast, slow);
  return closes.map((close) => crossover.push(close).signal);
}
