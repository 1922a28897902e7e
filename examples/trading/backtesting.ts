import type { JsonObject } from "@bufbuild/protobuf";
import type { OperationContext } from "longhaul";
import { TradeSide } from "../../gen/longhaul/v1/metrics_pb.ts";
import type { Fill } from "./account.ts";
import { defaultDatabase } from "./bar-database.ts";
import { type Bar, barTimestamp } from "./bars.ts";
import { EquityCurve } from "./equity-curve.ts";
import { loadBars } from "./loaded-bars.ts";
import { delayMs, integerBetween, numberBetween, parameterError, readParameters, textOr } from "./parameters.ts";
import { pause } from "./pause.ts";
import { type SimulatedBar, simulate } from "./simulation.ts";

interface BacktestingParameters {
  /** Length of the fast average, in bars. Default 20. */
  readonly fast: number;
  /** Length of the slow average, in bars. Default 100. */
  readonly slow: number;
  /** Cash before the first bar. Default 100 000. */
  readonly initial_cash: number;
  /** Share of a trade's value that it costs. Default 0.0005. */
  readonly fee_rate: number;
  /** The SQLite file a data_load has filled. */
  readonly database: string;
  /** Pause after every 250 bars, in milliseconds. Default 0. */
  readonly delay_ms: number;
}

/** What a backtest says at its end. A type and no interface, so that it is a JSON object. */
export type BacktestingSummary = {
  readonly data_origin: "database" | "file";
  readonly bars: number;
  /** The days of the first and the last bar. */
  readonly first_date: string;
  readonly last_date: string;
  /** Purchases and sales. */
  readonly trades: number;
  readonly closed_positions: number;
  /** Units were still held at the end; they are valued at the last close. */
  readonly position_open: boolean;
  readonly last_equity: number;
  /** The last equity over the initial cash, less 1. */
  readonly total_return: number;
  /** 0 to 1. */
  readonly max_drawdown: number;
  /** Annualised; see `sharpeRatio`. Null when the equity never moved. */
  readonly sharpe_ratio: number | null;
  /** Share of the closed positions that made a profit, fees included. Null when none was closed. */
  readonly win_rate: number | null;
  /** What buying at the first open, with the fee, and holding to the last close returns. */
  readonly buy_and_hold_return: number;
};

/** Bars between two pauses for others in the process: about a year, and about a millisecond. */
const barsPerTurn = 250;

/** Trades a moving-average crossover over the bars the metadata asks for, and records every bar and trade. */
export async function backtest(_operationId: string, context: OperationContext): Promise<BacktestingSummary> {
  const parameters = readBacktestingParameters(context.parameters);
  const { progress, token } = context;

  progress.startStep("Read bars", { fromPercentage: 0, toPercentage: 2 });
  const { bars, origin } = await loadBars(context, parameters.database);
  if (bars.length <= parameters.slow) {
    throw parameterError("slow", `must be less than the number of bars, ${bars.length}, not ${parameters.slow}`);
  }
  progress.completeStep();

  progress.startStep("Simulate", { fromPercentage: 2, toPercentage: 100, items: bars.length });
  const { fast, slow, initial_cash: initialCash, fee_rate: feeRate } = parameters;
  const curve = new EquityCurve(initialCash);
  const fills: Fill[] = [];
  let passed = 0;
  for (const step of simulate(bars, { fast, slow, initialCash, feeRate })) {
    passed += 1;
    if (step.fill !== undefined) {
      fills.push(step.fill);
      recordTrade(context, fills.length, step.bar, step.fill);
    }
    const drawdown = curve.push(step.equity);
    recordBar(context, passed, step, drawdown);
    if (passed % barsPerTurn !== 0 && passed < bars.length) continue;
    progress.updateStepProgress({
      itemsProcessed: passed,
      currentItem: step.bar.date,
      context: { equity: step.equity, drawdown, trades: fills.length },
    });
    await pause(parameters.delay_ms, token.signal);
  }
  progress.completeStep();
  return { data_origin: origin, ...summarize(bars, fills, curve, feeRate) };
}

function readBacktestingParameters(given: JsonObject): BacktestingParameters {
  const parameters = readParameters<BacktestingParameters>(given, {
    fast: integerBetween({ default: 20, min: 1, max: 1000 }),
    slow: integerBetween({ default: 100, min: 2, max: 1000 }),
    initial_cash: numberBetween({ default: 100_000, min: 1, max: 1e12 }),
    fee_rate: numberBetween({ default: 0.0005, min: 0, max: 0.5 }),
    database: textOr(defaultDatabase),
    delay_ms: delayMs,
  });
  if (parameters.fast >= parameters.slow) {
    throw parameterError("fast", `must be less than slow, ${parameters.slow}, not ${parameters.fast}`);
  }
  return parameters;
}

function recordBar(context: OperationContext, number: number, step: SimulatedBar, drawdown: number): void {
  const { fastAverage, slowAverage } = step.reading;
  context.record("bar", {
    bar: number,
    time: barTimestamp(step.bar.date),
    close: step.bar.close,
    equity: step.equity,
    position: step.position,
    drawdown,
    values: {
      ...(fastAverage !== undefined && { fast_average: fastAverage }),
      ...(slowAverage !== undefined && { slow_average: slowAverage }),
    },
  });
}

function recordTrade(context: OperationContext, number: number, bar: Bar, fill: Fill): void {
  context.record("trade", {
    trade: number,
    time: barTimestamp(bar.date),
    side: fill.side === "buy" ? TradeSide.BUY : TradeSide.SELL,
    quantity: fill.quantity,
    price: fill.price,
    ...(fill.profit !== undefined && { profit: fill.profit }),
  });
}

function summarize(
  bars: readonly Bar[],
  fills: readonly Fill[],
  curve: EquityCurve,
  feeRate: number,
): Omit<BacktestingSummary, "data_origin"> {
  const profits = fills.flatMap((fill) => fill.profit ?? []);
  return {
    bars: bars.length,
    first_date: bars.at(0)?.date ?? "",
    last_date: bars.at(-1)?.date ?? "",
    trades: fills.length,
    closed_positions: profits.length,
    position_open: fills.at(-1)?.side === "buy",
    last_equity: curve.last,
    total_return: curve.totalReturn,
    max_drawdown: curve.maxDrawdown,
    sharpe_ratio: curve.sharpeRatio ?? null,
    win_rate: profits.length === 0 ? null : profits.filter((profit) => profit > 0).length / profits.length,
    buy_and_hold_return: buyAndHoldReturn(bars, feeRate),
  };
}

function buyAndHoldReturn(bars: readonly Bar[], feeRate: number): number {
  const first = bars.at(0)?.open ?? Number.NaN;
  const last = bars.at(-1)?.close ?? Number.NaN;
  return last / (first * (1 + feeRate)) - 1;
}
