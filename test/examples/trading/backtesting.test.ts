import type { JsonObject } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { type BacktestingSummary, backtest } from "../../../examples/trading/backtesting.ts";
import { TradeSide } from "../../../gen/longhaul/v1/metrics_pb.ts";
import { FakeContext, noDatabase } from "./fake-context.ts";

describe("backtesting", () => {
  test("passes every bar and records it", async () => {
    const { fake, summary } = await run({});
    const bars = fake.records("bar");

    expect(bars.map((bar) => bar.bar)).toEqual(Array.from({ length: 5105 }, (_, index) => index + 1));
    expect(summary).toMatchObject({ bars: 5105, first_date: "2000-01-03", last_date: "2020-04-17" });
    expect(bars[18]?.values).toEqual({});
    expect(Object.keys(bars[19]?.values ?? {})).toEqual(["fast_average"]);
    expect(Object.keys(bars[99]?.values ?? {})).toEqual(["fast_average", "slow_average"]);
  });

  test("buys and sells in turn, and every sale says what it made", async () => {
    const { fake, summary } = await run({});
    const trades = fake.records("trade");

    expect(trades.length).toBeGreaterThan(20);
    expect(summary.trades).toBe(trades.length);
    for (const [index, trade] of trades.entries()) {
      expect(trade.trade).toBe(index + 1);
      expect(trade.side).toBe(index % 2 === 0 ? TradeSide.BUY : TradeSide.SELL);
      expect(trade.profit === undefined).toBe(trade.side === TradeSide.BUY);
    }
  });

  test("its summary is that of its bars and trades", async () => {
    const { fake, summary } = await run({ initial_cash: 5000 });
    const equities = fake.records("bar").map((bar) => bar.equity ?? Number.NaN);
    const profits = fake.records("trade").flatMap((trade) => trade.profit ?? []);

    expect(summary.last_equity).toBe(equities.at(-1));
    expect(summary.total_return).toBeCloseTo((equities.at(-1) ?? 0) / 5000 - 1, 12);
    expect(summary.max_drawdown).toBe(Math.max(...fake.records("bar").map((bar) => bar.drawdown ?? 0)));
    expect(summary.closed_positions).toBe(profits.length);
    expect(summary.win_rate).toBe(profits.filter((profit) => profit > 0).length / profits.length);
    expect(summary.buy_and_hold_return).toBeCloseTo(2874.560059 / (1469.25 * 1.0005) - 1, 12);
    expect(summary.sharpe_ratio).toEqual(expect.any(Number));
  });

  test("the returns do not depend on the cash, and fees only take away", async () => {
    const [small, large, free] = await Promise.all([
      run({ initial_cash: 100 }),
      run({ initial_cash: 1_000_000 }),
      run({ fee_rate: 0 }),
    ]);

    expect(large.summary.total_return).toBeCloseTo(small.summary.total_return, 9);
    expect(free.summary.total_return).toBeGreaterThan(large.summary.total_return);
  });

  test("lets others run between every 250 bars, and its progress goes by bars", async () => {
    const fake = new FakeContext({ operationType: "backtesting", parameters: { database: noDatabase } });
    let turns = 0;
    let running = true;
    const takeTurn = () => {
      turns += 1;
      if (running) setImmediate(takeTurn);
    };
    setImmediate(takeTurn);
    await backtest("op", fake.context);
    running = false;

    expect(turns).toBeGreaterThanOrEqual(Math.floor(5105 / 250));
    expect(fake.percentages).toEqual(fake.percentages.toSorted((left, right) => left - right));
    expect(fake.percentages.at(-1)).toBe(100);
    expect(fake.updates.find((update) => update.itemsProcessed === 2500)).toMatchObject({ itemsTotal: 5105 });
  });

  test("stops where it is cancelled", async () => {
    const fake = new FakeContext({ operationType: "backtesting", parameters: { database: noDatabase } });
    fake.onUpdate = (update) => {
      if (update.itemsProcessed === 500) fake.cancellation.cancel("enough");
    };

    await expect(backtest("op", fake.context)).rejects.toMatchObject({ name: "AbortError" });
    expect(fake.records("bar")).toHaveLength(500);
  });

  test.each([
    [{ fast: 0 }, "parameters.fast"],
    [{ fast: 100, slow: 100 }, "parameters.fast"],
    [{ slow: 1001 }, "parameters.slow"],
    [{ initial_cash: 0 }, "parameters.initial_cash"],
    [{ fee_rate: 0.6 }, "parameters.fee_rate"],
    [{ fees: 0 }, "parameters.fees"],
  ])("refuses %j by name", async (parameters, name) => {
    await expect(run(parameters)).rejects.toThrow(`${name}: `);
  });
});

async function run(parameters: JsonObject): Promise<{ fake: FakeContext; summary: BacktestingSummary }> {
  const fake = new FakeContext({ operationType: "backtesting", parameters: { database: noDatabase, ...parameters } });
  return { fake, summary: await backtest("op", fake.context) };
}
