import { create, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EpochMetricsSchema } from "../../gen/longhaul/v1/metrics_pb.ts";
import { encodeMetric, encodeMetricInto, maxFlatMetricBytes, metricSchemas } from "../../src/progress/metric-codec.ts";
import type { MetricKind, MetricValues } from "../../src/progress/metric-record.ts";

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const number = fc.oneof(fc.double(), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, -Infinity, -0, 0));
const timestamp = fc.record({ seconds: int64, nanos: int32 }, { requiredKeys: [] });
const values = fc.oneof(
  { weight: 3, arbitrary: fc.constant({}) },
  fc.dictionary(fc.string({ unit: "grapheme" }), number),
);

function some<T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<Partial<T>> {
  return fc.record(fields, { requiredKeys: [] }) as fc.Arbitrary<Partial<T>>;
}

const epochs = some({
  epoch: int32,
  trainLoss: number,
  valLoss: number,
  trainAccuracy: number,
  valAccuracy: number,
  learningRate: number,
  durationSeconds: number,
  values,
});
const segments = some({
  segment: int32,
  items: int64,
  bytes: int64,
  durationSeconds: number,
  startDate: timestamp,
  endDate: timestamp,
  error: fc.oneof(fc.constant(""), fc.string({ unit: "grapheme" })),
  values,
});
const bars = some({
  bar: int32,
  time: timestamp,
  close: number,
  equity: number,
  position: number,
  drawdown: number,
  values,
});
const trades = some({
  trade: int32,
  time: timestamp,
  side: fc.constantFrom(0, 1, 2),
  quantity: number,
  price: number,
  profit: number,
  values,
});

function referenceBytes(kind: MetricKind, value: object): Uint8Array {
  const schema: DescMessage = metricSchemas[kind];
  return toBinary(schema, create(schema, value as never));
}

describe("encodeMetric", () => {
  const kinds: [MetricKind, fc.Arbitrary<object>][] = [
    ["epoch", epochs],
    ["segment", segments],
    ["bar", bars],
    ["trade", trades],
  ];

  test.each(kinds)(
    "a record of kind %s has the bytes that toBinary gives, and reads back the same",
    (kind, records) => {
      fc.assert(
        fc.property(records, (record) => {
          const bytes = encodeMetric(kind, record as MetricValues[typeof kind]);
          const reference = referenceBytes(kind, record);
          expect(Buffer.from(bytes).toString("hex")).toBe(Buffer.from(reference).toString("hex"));
          const schema: DescMessage = metricSchemas[kind];
          expect(fromBinary(schema, bytes)).toEqual(fromBinary(schema, reference));
        }),
        { numRuns: 500 },
      );
    },
  );

  test.each(kinds)("a message of kind %s is encoded like its fields", (kind, records) => {
    fc.assert(
      fc.property(records, (record) => {
        const schema: DescMessage = metricSchemas[kind];
        const message = create(schema, record as never);
        expect(encodeMetric(kind, message as never)).toEqual(encodeMetric(kind, record as never));
      }),
    );
  });

  test("numbers that only doubles have survive", () => {
    const bytes = encodeMetric("epoch", {
      epoch: -1,
      trainLoss: Number.NaN,
      valLoss: Number.POSITIVE_INFINITY,
      learningRate: -0,
    });
    expect(fromBinary(EpochMetricsSchema, bytes)).toMatchObject({
      epoch: -1,
      trainLoss: Number.NaN,
      valLoss: Number.POSITIVE_INFINITY,
      learningRate: -0,
    });
  });

  test("what the registry sets is left out, with and without a map", () => {
    const set = { sequence: 9n, attempt: 4, recordedAt: { seconds: 1n } };
    for (const more of [{}, { values: { a: 1 } }]) {
      expect(encodeMetric("epoch", { epoch: 2, ...more, ...set })).toEqual(
        encodeMetric("epoch", { epoch: 2, ...more }),
      );
    }
  });

  test("a custom record is its Any", () => {
    const record = create(AnySchema, { typeUrl: "type.googleapis.com/a.B", value: new Uint8Array([8, 1]) });
    expect(fromBinary(AnySchema, encodeMetric("custom", record))).toEqual(record);
  });

  test("a value that does not fit its field is refused by the field's name", () => {
    expect(() => encodeMetric("epoch", { epoch: 1.5 })).toThrow(/EpochMetrics\.epoch/);
    expect(() => encodeMetric("segment", { items: 2n ** 63n })).toThrow(/SegmentMetrics\.items/);
  });

  test("the largest record of numbers fits the room it is promised", () => {
    const end = encodeMetricInto(
      "segment",
      {
        segment: -1,
        items: -1n,
        bytes: -1n,
        durationSeconds: 1,
        startDate: { seconds: -1n, nanos: -1 },
        endDate: { seconds: -1n, nanos: -1 },
      },
      new DataView(new ArrayBuffer(maxFlatMetricBytes)),
      0,
    );
    expect(end).toBeGreaterThan(60);
    expect(end).toBeLessThanOrEqual(maxFlatMetricBytes);
  });
});
