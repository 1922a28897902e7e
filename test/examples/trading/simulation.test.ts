import { describe, expect, test } from "vitest";
import { Account } from "../../../examples/trading/account.ts";
import type { Bar } from "../../../examples/trading/bars.ts";
import { createRandom } from "../../../examples/trading/random.ts";
import { type SimulationSettings, simulate } from "../../../examples/trading/simulation.ts";

describe("Account", () => {
  test("pays the fee on both sides, and the profit knows it", () => {
    const account = new Account(1010, 0.01);

    expect(account.buy(100)).toEqual({ side: "buy", quantity: 10, price: 100 });
    expect(account.equity(110)).toBe(1100);
    // 10 units at 110 less 1 %: 1089 for what cost 1010.
    expect(account.sell(110)?.profit).toBeCloseTo(79, 10);
    expect(account.equity(500)).toBeCloseTo(1089, 10);
  });

  test("neither buys twice nor sells what it has not", () => {
    const account = new Account(100, 0);

    expect(account.sell(10)).toBeUndefined();
    account.buy(10);
    expect(account.buy(10)).toBeUndefined();
    expect(account.units).toBe(10);
  });
});

describe("simulate", () => {
  const settings: SimulationSettings = { fast: 1, slow: 2, initialCash: 120, feeRate: 0 };

  test("trades a signal at the next bar's open", () => {
    // Signals after the closes: hold, hold, buy, sell. Opens differ from closes, so the price tells the bar.
    const bars = [barOf(10, 10), barOf(9, 8), barOf(8, 9), barOf(12, 7), barOf(6, 6)];
    const steps = [...simulate(bars, settings)];

    expect(steps.map((step) => step.reading.signal)).toEqual(["hold", "hold", "buy", "sell", "hold"]);
    expect(steps.map((step) => step.fill)).toEqual([
      undefined,
      undefined,
      undefined,
      { side: "buy", quantity: 10, price: 12 },
      { side: "sell", quantity: 10, price: 6, profit: -60 },
    ]);
    expect(steps.map((step) => step.equity)).toEqual([120, 120, 120, 70, 60]);
    expect(steps.map((step) => step.position)).toEqual([0, 0, 0, 10, 0]);
  });

  test("knows nothing of later bars", () => {
    const random = createRandom(7);
    const bars = Array.from({ length: 60 }, () => barOf(50 + 50 * random(), 50 + 50 * random()));
    const whole = [...simulate(bars, { ...settings, fast: 3, slow: 8 })];

    expect(whole.filter((step) => step.fill !== undefined).length).toBeGreaterThan(4);
    for (let length = 1; length < bars.length; length++) {
      expect([...simulate(bars.slice(0, length), { ...settings, fast: 3, slow: 8 })]).toEqual(whole.slice(0, length));
    }
  });
});

function barOf(open: number, close: number): Bar {
  const high = Math.max(open, close);
  return { date: "2000-01-03", open, high, low: Math.min(open, close), close, adjustedClose: close, volume: 0 };
}
