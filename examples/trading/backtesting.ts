import type { JsonObject } from "@bufbuild/protobuf";
import { TradeSide } from "../../gen/longhaul/v1/metrics_pb.ts";
import type { OperationContext } from "../../src/orchestrator/operation-context.ts";
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

/** Steps of a backtest. */
export const backtestingSteps = 2;

/** Bars between two pauses for others in the process: about a year, and about a millisecond. */
const barsPerTurn = 250;

/** Trades a moving-average crossover over the bars the metadata asks for, and records every bar and trade. */
export async function backtest(_operationId: string, context: OperationContext): Promise<JsonObject> {
  const parameters = readBacktestingParameters(context.parameters);
  const { progress, token } = context;
  progress.startOperation("Backtest", { totalSteps: backtestingSteps });

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
      message: `Bar ${passed}/${bars.length}`,
      currentItem: step.bar.date,
      context: { equity: step.equity, drawdown, trades: fills.length },
    });
    await pause(parameters.delay_ms, token.signal);
  }
  progress.completeStep();
  progress.completeOperation();
  return { ...summarize(bars, fills, curve, feeRate), data_origin: origin };
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

/** What is null does not exist: a ratio of returns that never varied, a rate of no trades. */
function summarize(bars: readonly Bar[], fills: readonly Fill[], curve: EquityCurve, feeRate: number): JsonObject {
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

/** Buying at the first open for all the cash, with the fee, and holding to the last close. */
function buyAndHoldReturn(bars: readonly Bar[], feeRate: number): number {
  const first = bars.at(0)?.open ?? Number.NaN;
  const last = bars.at(-1)?.close ?? Number.NaN;
  return last / (first * (1 + feeRate)) - 1;
}
