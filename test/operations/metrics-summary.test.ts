import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyPack, StructSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type OperationMetrics,
  OperationMetricsSchema,
  type TrainingTrends,
} from "../../gen/longhaul/v1/metrics_pb.ts";
import { emptySummary, foldMetrics, publicSummary } from "../../src/operations/metrics-summary.ts";
import type { MetricValues } from "../../src/progress/metric-record.ts";
import { metricRecords } from "../support/metric-records.ts";

type Epoch = MetricValues["epoch"];

function trendsOf(epochs: readonly Epoch[]): TrainingTrends | undefined {
  const { metrics } = foldMetrics(emptySummary("training"), metricRecords("epoch", epochs));
  return metrics.case === "training" ? metrics.value.trends : undefined;
}

/** Epochs 1, 2, 3 … with these validation losses. */
const valLosses = (...losses: (number | undefined)[]): Epoch[] =>
  losses.map((valLoss, index) => ({ epoch: index + 1, ...(valLoss !== undefined && { valLoss }) }));

/** Ten epochs that go from the first to the last losses. */
function tenEpochs(train: [number, number], val: [number, number]): Epoch[] {
  const losses = (index: number) => ({ trainLoss: train[index] ?? 0, valLoss: val[index] ?? 0 });
  return Array.from({ length: 10 }, (_, index) => ({ epoch: index + 1, ...losses(index === 9 ? 1 : 0) }));
}

describe("the trends of a training", () => {
  test("name the epoch with the smallest validation loss, the first one of equals", () => {
    expect(trendsOf(valLosses(3, 1, 2, 1, 4))).toMatchObject({
      epochCount: 5n,
      bestEpoch: 2,
      bestValLoss: 1,
      epochsSinceImprovement: 3n,
      lastValLoss: 4,
    });
  });

  test("name it as the work counts", () => {
    expect(
      trendsOf([
        { epoch: 0, valLoss: 2 },
        { epoch: 100, valLoss: 1 },
      ]),
    ).toMatchObject({ bestEpoch: 100 });
  });

  test("say nothing of a validation loss where none is given", () => {
    const trends = trendsOf(Array.from({ length: 20 }, (_, index) => ({ epoch: index, trainLoss: 1 })));
    expect(trends).toMatchObject({ epochCount: 20n, epochsSinceImprovement: 0n, isPlateaued: false, lastTrainLoss: 1 });
    expect(trends?.bestEpoch).toBeUndefined();
    expect(trends?.bestValLoss).toBeUndefined();
    expect(trends?.lastValLoss).toBeUndefined();
  });

  test("show the newest losses only if the newest epoch has them", () => {
    expect(trendsOf(valLosses(1, undefined))?.lastValLoss).toBeUndefined();
  });

  test("plateau after exactly 10 epochs without improvement", () => {
    const best = valLosses(1, ...Array.from({ length: 9 }, () => 1));
    expect(trendsOf(best)).toMatchObject({ epochsSinceImprovement: 9n, isPlateaued: false });
    expect(trendsOf([...best, { epoch: 11, valLoss: 1 }])).toMatchObject({
      epochsSinceImprovement: 10n,
      isPlateaued: true,
    });
    expect(trendsOf([...best, { epoch: 11, valLoss: 1 }, { epoch: 12, valLoss: 0.9 }])).toMatchObject({
      epochsSinceImprovement: 0n,
      isPlateaued: false,
      bestEpoch: 12,
    });
  });

  test("take NaN and infinities for no improvement, and a finite loss after them for one", () => {
    expect(trendsOf(valLosses(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY))).toMatchObject({
      epochsSinceImprovement: 3n,
      lastValLoss: Number.NEGATIVE_INFINITY,
    });
    expect(trendsOf(valLosses(Number.NaN, 5))).toMatchObject({ bestEpoch: 2, bestValLoss: 5 });
    expect(trendsOf(valLosses(5, Number.NaN))).toMatchObject({ bestEpoch: 1, bestValLoss: 5, lastValLoss: Number.NaN });
    expect(trendsOf(valLosses(...Array.from({ length: 10 }, () => Number.NaN)))).toMatchObject({ isPlateaued: true });
  });
});

describe("overfitting", () => {
  test.each<[boolean, string, Epoch[]]>([
    [true, "train falls and validation rises by more than 5 %", tenEpochs([1, 0.9499], [1, 1.0501])],
    [false, "train falls by exactly 5 %", tenEpochs([1, 0.95], [1, 2])],
    [false, "validation rises by exactly 5 %", tenEpochs([1, 0.5], [1, 1.05])],
    [false, "validation falls, too", tenEpochs([1, 0.5], [1, 0.9])],
    [false, "train rises, too", tenEpochs([1, 1.5], [1, 2])],
    [false, "there are only 9 epochs", tenEpochs([1, 0.5], [1, 2]).slice(1)],
    [false, "a loss is NaN", tenEpochs([1, 0.5], [1, Number.NaN])],
    [
      false,
      "train losses are missing",
      tenEpochs([1, 1], [1, 2]).map(({ epoch = 0, valLoss = 0 }) => ({ epoch, valLoss })),
    ],
  ])("is %s when %s", (expected, _, epochs) => {
    expect(trendsOf(epochs)?.isOverfitting).toBe(expected);
  });

  test("looks at the last 10 epochs only", () => {
    const overfitting = tenEpochs([1, 0.5], [1, 2]);
    expect(trendsOf([...tenEpochs([1, 1], [1, 1]), ...overfitting])?.isOverfitting).toBe(true);
    const calm = Array.from({ length: 9 }, (_, index) => ({ epoch: 11 + index, trainLoss: 0.5, valLoss: 2 }));
    expect(trendsOf([...overfitting, ...calm])?.isOverfitting).toBe(false);
  });
});

test("a data load's totals add up all segments and count those with an error", () => {
  const segments = [
    { segment: 1, items: 10n, bytes: 100n, durationSeconds: 0.5 },
    { segment: 2, items: 0n, bytes: 0n, durationSeconds: 1.5, error: "no data" },
    { segment: 3, items: 5n, bytes: 2n ** 53n, durationSeconds: 1 },
  ];
  expect(foldMetrics(emptySummary("data_load"), metricRecords("segment", segments)).metrics).toMatchObject({
    case: "dataLoad",
    value: {
      totals: { segments: 3n, failedSegments: 1n, items: 15n, bytes: 2n ** 53n + 100n, durationSeconds: 3 },
      segments: [],
    },
  });
});

test("a backtest's summary has its return, its worst drawdown and what its closed trades earned", () => {
  const bars = [
    { bar: 1, equity: 1_000, drawdown: 0 },
    { bar: 2, equity: 800, drawdown: 0.2 },
    { bar: 3, equity: 1_250, drawdown: 0 },
  ];
  const trades = [{ trade: 1 }, { trade: 2, profit: 300 }, { trade: 3, profit: -50 }, { trade: 4, profit: 0 }];
  const records = [
    ...metricRecords("bar", bars),
    ...metricRecords("trade", trades, { firstSequence: bars.length + 1 }),
  ];
  expect(publicSummary(foldMetrics(emptySummary("backtesting"), records)).metrics).toMatchObject({
    case: "backtesting",
    value: {
      bars: [],
      trades: [],
      summary: {
        bars: 3n,
        trades: 4n,
        winningTrades: 1n,
        totalProfit: 250,
        lastEquity: 1_250,
        totalReturn: 0.25,
        maxDrawdown: 0.2,
      },
    },
  });
});

test("other records are counted; an operation of an unknown type takes the family of its first record", () => {
  const record = anyPack(StructSchema, create(StructSchema));
  const custom = foldMetrics(emptySummary("mine"), metricRecords("custom", [record, record]));
  expect(custom.metrics).toMatchObject({ case: "custom", value: { recordCount: 2n } });
  const training = foldMetrics(emptySummary("mine"), metricRecords("epoch", [{ epoch: 1 }]));
  expect(training.metrics.case).toBe("training");
});

test("before the first record there is no summary, but the family of the type", () => {
  const families = ["training", "data_load", "backtesting", "mine"].map((type) => emptySummary(type).metrics);
  expect(families.map((metrics) => metrics.case)).toEqual(["training", "dataLoad", "backtesting", "custom"]);
  expect(families[0]).not.toHaveProperty("value.trends");
});

test("folding a run in pieces, stored in between, comes to the same as folding it at once", () => {
  const loss = fc.option(fc.oneof(fc.double({ min: 0, max: 3, noNaN: true }), fc.constant(Number.NaN)), {
    nil: undefined,
  });
  const epoch = fc.record({ train: loss, val: loss });
  const stored = (summary: OperationMetrics) =>
    fromBinary(OperationMetricsSchema, toBinary(OperationMetricsSchema, summary));
  fc.assert(
    fc.property(fc.array(epoch, { minLength: 1, maxLength: 40 }), fc.nat(40), (losses, cut) => {
      const epochs = losses.map(({ train, val }, index) => ({
        epoch: index + 1,
        ...(train !== undefined && { trainLoss: train }),
        ...(val !== undefined && { valLoss: val }),
      }));
      const records = metricRecords("epoch", epochs);
      const atOnce = foldMetrics(emptySummary("training"), records);
      const before = foldMetrics(emptySummary("training"), records.slice(0, cut));
      expect(foldMetrics(stored(before), records.slice(cut))).toEqual(atOnce);
      expect(publicSummary(atOnce).metrics).toMatchObject({ value: { epochs: [] } });
    }),
  );
});
