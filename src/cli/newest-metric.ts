import type { OperationMetrics } from "../../gen/longhaul/v1/metrics_pb.ts";

/** The series of an operation's metrics that says most about it. */
export interface MetricSeries {
  /** What the numbers are: "val loss", "close", … */
  readonly name: string;
  /** Oldest first. */
  readonly values: readonly number[];
}

/** The series to plot: loss of a training, items of a data load, equity of a backtest; undefined where there is none. */
export function newestMetric({ metrics }: OperationMetrics): MetricSeries | undefined {
  switch (metrics.case) {
    case "training": {
      const { epochs } = metrics.value;
      const hasVal = epochs.some(({ valLoss }) => valLoss !== undefined);
      const values = epochs.map(({ valLoss, trainLoss }) => (hasVal ? valLoss : trainLoss) ?? Number.NaN);
      return series(hasVal ? "val loss" : "train loss", values);
    }
    case "dataLoad":
      return series(
        "items",
        metrics.value.segments.map(({ items }) => Number(items)),
      );
    case "backtesting":
      return series(
        "equity",
        metrics.value.bars.map(({ equity }) => equity),
      );
    default:
      return undefined;
  }
}

function series(name: string, values: readonly number[]): MetricSeries | undefined {
  return values.length > 0 ? { name, values } : undefined;
}
