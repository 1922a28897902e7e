import { create } from "@bufbuild/protobuf";
import { AnySchema, anyPack, StringValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { OperationMetricsSchema } from "../../gen/longhaul/v1/metrics_pb.ts";
import { OperationInfoSchema, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { operationJson } from "../../src/cli/message-json.ts";
import { metricLines } from "../../src/cli/metric-lines.ts";
import { newestMetric } from "../../src/cli/newest-metric.ts";
import { describeError } from "../../src/cli/report-error.ts";

const unknown = create(AnySchema, { typeUrl: "type.googleapis.com/acme.Model", value: new Uint8Array([1, 2, 3]) });
const known = anyPack(StringValueSchema, create(StringValueSchema, { value: "weights.bin" }));
const unknownJson = { "@type": "type.googleapis.com/acme.Model", value: "AQID" };

describe("an operation as JSON", () => {
  test("is its protobuf JSON, with the result of a known type", () => {
    const json = operationJson(
      create(OperationInfoSchema, {
        operationId: "op_1",
        status: OperationStatus.COMPLETED,
        revision: 5n,
        result: known,
      }),
    );
    expect(json).toEqual({
      operationId: "op_1",
      status: "OPERATION_STATUS_COMPLETED",
      revision: "5",
      result: { "@type": "type.googleapis.com/google.protobuf.StringValue", value: "weights.bin" },
    });
  });

  test("shows types it does not know as bytes", () => {
    const json = operationJson(
      create(OperationInfoSchema, { result: unknown, error: { reason: "R", message: "m", details: [known, unknown] } }),
    );
    expect(json["result"]).toEqual(unknownJson);
    expect(json["error"]).toMatchObject({
      reason: "R",
      message: "m",
      details: [{ value: "weights.bin" }, unknownJson],
    });
  });
});

describe("metric records", () => {
  test("are lines that name their kind and keep NaN and infinities", () => {
    const page = create(OperationMetricsSchema, {
      metrics: {
        case: "training",
        value: { epochs: [{ sequence: 1n, epoch: 1, trainLoss: Number.NaN, valLoss: Number.POSITIVE_INFINITY }] },
      },
    });
    expect(metricLines(page)).toEqual([
      { kind: "epoch", sequence: "1", epoch: 1, trainLoss: "NaN", valLoss: "Infinity" },
    ]);
  });

  test("of a backtest come in the order in which they were written", () => {
    const page = create(OperationMetricsSchema, {
      metrics: {
        case: "backtesting",
        value: { bars: [{ sequence: 9n }, { sequence: 11n }], trades: [{ sequence: 10n }, { sequence: 12n }] },
      },
    });
    expect(metricLines(page).map(({ kind, sequence }) => `${kind} ${sequence}`)).toEqual([
      "bar 9",
      "trade 10",
      "bar 11",
      "trade 12",
    ]);
  });

  test("of the work's own type are shown as far as it is known", () => {
    const page = create(OperationMetricsSchema, {
      metrics: {
        case: "custom",
        value: {
          records: [
            { sequence: 1n, record: unknown },
            { sequence: 2n, record: known },
          ],
        },
      },
    });
    expect(metricLines(page)).toMatchObject([
      { kind: "custom", sequence: "1", record: unknownJson },
      { kind: "custom", sequence: "2", record: { value: "weights.bin" } },
    ]);
  });

  test("before the first one are none", () => {
    expect(metricLines(create(OperationMetricsSchema))).toEqual([]);
    expect(newestMetric(create(OperationMetricsSchema))).toBeUndefined();
  });
});

describe("the metric that is plotted", () => {
  const epochs = (...losses: { trainLoss?: number; valLoss?: number }[]) =>
    create(OperationMetricsSchema, { metrics: { case: "training", value: { epochs: losses } } });

  test("of a training is the validation loss, or else the train loss", () => {
    expect(newestMetric(epochs({ trainLoss: 1, valLoss: 2 }, { trainLoss: 3 }))).toEqual({
      name: "val loss",
      values: [2, Number.NaN],
    });
    expect(newestMetric(epochs({ trainLoss: 1 }))).toEqual({ name: "train loss", values: [1] });
  });

  test("of a data load is the items of each segment, of a backtest the equity", () => {
    const load = { case: "dataLoad" as const, value: { segments: [{ items: 5n }, { items: 7n }] } };
    expect(newestMetric(create(OperationMetricsSchema, { metrics: load }))).toEqual({ name: "items", values: [5, 7] });
    const backtest = { case: "backtesting" as const, value: { bars: [{ equity: 100, close: 1 }] } };
    expect(newestMetric(create(OperationMetricsSchema, { metrics: backtest }))).toEqual({
      name: "equity",
      values: [100],
    });
  });
});

describe("an error", () => {
  test("is one line with the server's message, its reason and what it says of fields beyond that", () => {
    const error = new ConnectError("page_size: too large", Code.InvalidArgument, undefined, [
      { desc: ErrorInfoSchema, value: { reason: "INVALID_FIELD", domain: "longhaul" } },
      {
        desc: BadRequestSchema,
        value: {
          fieldViolations: [
            { field: "page_size", description: "too large" },
            { field: "filter.labels", description: "too many\nlines" },
          ],
        },
      },
    ]);
    expect(describeError(error)).toBe("page_size: too large (INVALID_FIELD); filter.labels: too many lines");
  });

  test("without a reason has its code", () => {
    expect(describeError(new ConnectError("gone", Code.NotFound))).toBe("gone (NOT_FOUND)");
    expect(describeError(new Error("plain"))).toBe("plain");
    expect(describeError("thrown text")).toBe("thrown text");
  });
});
