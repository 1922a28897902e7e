import { clone, create, fromBinary } from "@bufbuild/protobuf";
import {
  BacktestingSummarySchema,
  type BarMetrics,
  BarMetricsSchema,
  DataLoadTotalsSchema,
  type EpochMetrics,
  EpochMetricsSchema,
  type OperationMetrics,
  OperationMetricsSchema,
  SegmentMetricsSchema,
  type TradeMetrics,
  TradeMetricsSchema,
  type TrainingTrends,
  TrainingTrendsSchema,
} from "../../gen/longhaul/v1/metrics_pb.ts";
import type { MetricRecord } from "../progress/metric-record.ts";

/** Epochs without a better validation loss after which a training has plateaued. */
const plateauEpochs = 10;
/** Epochs over which overfitting is judged. */
const overfittingWindow = 10;
/** Relative change of a loss that counts, in judging overfitting. */
const overfittingChange = 0.05;

/**
 * Folds records into the summary of a whole run, in the order of their sequence.
 *
 * The summary is an OperationMetrics that keeps, beside what callers see, the few records the next fold needs: the last
 * 10 epochs of a training and the first bar of a backtest. So its cost does not grow with the run.
 */
export function foldMetrics(summary: OperationMetrics, records: readonly MetricRecord[]): OperationMetrics {
  for (const record of records) {
    switch (record.kind) {
      case "epoch":
        foldEpoch(summary, fromBinary(EpochMetricsSchema, record.payload));
        break;
      case "segment":
        foldSegment(summary, record);
        break;
      case "bar":
        foldBar(summary, fromBinary(BarMetricsSchema, record.payload));
        break;
      case "trade":
        foldTrade(summary, fromBinary(TradeMetricsSchema, record.payload));
        break;
      case "custom":
        family(summary, "custom").recordCount += 1n;
        break;
    }
  }
  return summary;
}

/** A copy of what callers see of a summary: without the records kept for the next fold. */
export function publicSummary(summary: OperationMetrics): OperationMetrics {
  const copy = clone(OperationMetricsSchema, summary);
  if (copy.metrics.case === "training") {
    copy.metrics.value.epochs = [];
  } else if (copy.metrics.case === "backtesting") {
    copy.metrics.value.bars = [];
  }
  return copy;
}

/** A summary of no records, of the family that fits the operation's type. */
export function emptySummary(operationType: string): OperationMetrics {
  switch (operationType) {
    case "training":
    case "backtesting":
      return create(OperationMetricsSchema, { metrics: { case: operationType, value: {} } });
    case "data_load":
      return create(OperationMetricsSchema, { metrics: { case: "dataLoad", value: {} } });
    default:
      return create(OperationMetricsSchema, { metrics: { case: "custom", value: {} } });
  }
}

type Metrics = OperationMetrics["metrics"];
type FamilyCase = Exclude<Metrics["case"], undefined>;
type FamilyOf<C extends FamilyCase> = Extract<Metrics, { case: C }>["value"];

/**
 * The summary's message of a family. An operation of a type that is not well known begins as custom and takes the
 * family of its first record.
 */
function family<C extends FamilyCase>(summary: OperationMetrics, name: C): FamilyOf<C> {
  if (summary.metrics.case !== name) {
    summary.metrics = create(OperationMetricsSchema, { metrics: { case: name, value: {} } as never }).metrics;
  }
  return summary.metrics.value as FamilyOf<C>;
}

function foldEpoch(summary: OperationMetrics, epoch: EpochMetrics): void {
  const training = family(summary, "training");
  training.trends ??= create(TrainingTrendsSchema);
  const trends = training.trends;
  training.epochs = [...training.epochs, epoch].slice(-overfittingWindow);
  trends.epochCount += 1n;
  assign(trends, "lastTrainLoss", epoch.trainLoss);
  assign(trends, "lastValLoss", epoch.valLoss);
  const { valLoss } = epoch;
  if (valLoss !== undefined) {
    if (Number.isFinite(valLoss) && !(trends.bestValLoss !== undefined && valLoss >= trends.bestValLoss)) {
      trends.bestValLoss = valLoss;
      trends.bestEpoch = epoch.epoch;
      trends.epochsSinceImprovement = 0n;
    } else {
      trends.epochsSinceImprovement += 1n;
    }
  }
  trends.isPlateaued = trends.epochsSinceImprovement >= plateauEpochs;
  trends.isOverfitting = isOverfitting(training.epochs);
}

function isOverfitting(window: readonly EpochMetrics[]): boolean {
  const first = window[0];
  const last = window.at(-1);
  if (window.length < overfittingWindow || first === undefined || last === undefined) {
    return false;
  }
  // A missing loss is NaN here, and no comparison with NaN holds.
  const { trainLoss: trainBefore = Number.NaN, valLoss: valBefore = Number.NaN } = first;
  const { trainLoss: trainNow = Number.NaN, valLoss: valNow = Number.NaN } = last;
  return trainNow < trainBefore * (1 - overfittingChange) && valNow > valBefore * (1 + overfittingChange);
}

function foldSegment(summary: OperationMetrics, record: MetricRecord): void {
  const segment = fromBinary(SegmentMetricsSchema, record.payload);
  const load = family(summary, "dataLoad");
  load.totals ??= create(DataLoadTotalsSchema);
  load.totals.segments += 1n;
  load.totals.failedSegments += segment.error === "" ? 0n : 1n;
  load.totals.items += segment.items;
  load.totals.bytes += segment.bytes;
  load.totals.durationSeconds += segment.durationSeconds;
}

function foldBar(summary: OperationMetrics, bar: BarMetrics): void {
  const backtest = family(summary, "backtesting");
  backtest.summary ??= create(BacktestingSummarySchema);
  backtest.bars[0] ??= bar;
  backtest.summary.bars += 1n;
  backtest.summary.lastEquity = bar.equity;
  backtest.summary.totalReturn = bar.equity / backtest.bars[0].equity - 1;
  backtest.summary.maxDrawdown = Math.max(backtest.summary.maxDrawdown, bar.drawdown);
}

function foldTrade(summary: OperationMetrics, trade: TradeMetrics): void {
  const backtest = family(summary, "backtesting");
  backtest.summary ??= create(BacktestingSummarySchema);
  backtest.summary.trades += 1n;
  if (trade.profit !== undefined) {
    backtest.summary.winningTrades += trade.profit > 0 ? 1n : 0n;
    backtest.summary.totalProfit += trade.profit;
  }
}

function assign(trends: TrainingTrends, key: "lastTrainLoss" | "lastValLoss", value: number | undefined): void {
  if (value === undefined) {
    delete trends[key];
  } else {
    trends[key] = value;
  }
}
