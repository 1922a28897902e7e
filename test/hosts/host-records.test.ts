import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { anyPack, StructSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { expect, test } from "vitest";
import { OperationMetricsSchema } from "../../gen/longhaul/v1/metrics_pb.ts";
import { hostRecords } from "../../src/hosts/host-records.ts";
import { metricsMessage } from "../../src/operations/metrics-message.ts";
import { emptySummary, foldMetrics } from "../../src/operations/metrics-summary.ts";
import { metricRecords } from "../support/metric-records.ts";

const metrics = (init: MessageInitShape<typeof OperationMetricsSchema>["metrics"]) =>
  create(OperationMetricsSchema, { metrics: init } as MessageInitShape<typeof OperationMetricsSchema>);

const epochs = (...sequences: number[]) =>
  metrics({
    case: "training",
    value: { epochs: sequences.map((sequence) => ({ sequence: BigInt(sequence), epoch: sequence })) },
  });

const sequencesOf = (records: ReturnType<typeof hostRecords>) =>
  typeof records === "string" ? records : records.map(({ sequence }) => sequence);

test("records follow the cursor in the order of their sequence", () => {
  expect(sequencesOf(hostRecords(epochs(3, 1, 2), 0))).toEqual([1, 2, 3]);
  expect(sequencesOf(hostRecords(epochs(6, 8, 7), 5))).toEqual([6, 7, 8]);
});

test("records at or before the cursor are dropped", () => {
  expect(sequencesOf(hostRecords(epochs(1, 2, 3, 4), 2))).toEqual([3, 4]);
  expect(sequencesOf(hostRecords(epochs(1, 2), 2))).toEqual([]);
});

test("a gap is told, because records would be lost", () => {
  expect(hostRecords(epochs(2, 3), 0)).toBe("sent metric record 2 where 1 was due");
  expect(hostRecords(epochs(1, 2, 4), 0)).toBe("sent metric record 4 where 3 was due");
  expect(hostRecords(epochs(6, 6), 5)).toBe("sent metric record 6 where 7 was due");
});

test("a host that numbers nothing gets its records numbered as it sent them", () => {
  expect(sequencesOf(hostRecords(epochs(0, 0, 0), 7))).toEqual([8, 9, 10]);
});

test("no metrics are no records", () => {
  expect(hostRecords(undefined, 3)).toEqual([]);
  expect(hostRecords(create(OperationMetricsSchema), 3)).toEqual([]);
  expect(hostRecords(epochs(), 3)).toEqual([]);
});

test("bars and trades share one sequence", () => {
  const message = metrics({
    case: "backtesting",
    value: { bars: [{ sequence: 1n }, { sequence: 3n }], trades: [{ sequence: 2n }, { sequence: 4n }] },
  });
  const records = hostRecords(message, 0);
  expect(sequencesOf(records)).toEqual([1, 2, 3, 4]);
  expect(typeof records === "string" ? [] : records.map(({ kind }) => kind)).toEqual(["bar", "trade", "bar", "trade"]);
});

test("attempt and time are the host's, and 1 and now where it gives none", () => {
  const recordedAt = timestampFromMs(5_000);
  const stamped = hostRecords(metrics({ case: "dataLoad", value: { segments: [{ attempt: 3, recordedAt }] } }), 0);
  expect(stamped).toMatchObject([{ attempt: 3, recordedAtMs: 5_000 }]);
  const bare = hostRecords(metrics({ case: "dataLoad", value: { segments: [{}] } }), 0);
  expect(bare).toMatchObject([{ attempt: 1, recordedAtMs: expect.any(Number) }]);
});

test("what a host sends is what its callers get, bit for bit", () => {
  const number = fc.oneof(fc.double(), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, -0));
  const epoch = fc.record({ epoch: fc.integer({ min: 0, max: 1_000 }), trainLoss: number, valLoss: number });
  fc.assert(
    fc.property(fc.array(epoch, { minLength: 1, maxLength: 20 }), (values) => {
      const onHost = metricRecords("epoch", values);
      const summary = foldMetrics(emptySummary("training"), onHost);
      const sent = metricsMessage(summary, onHost);
      const received = hostRecords(sent, 0);
      expect(typeof received).toBe("object");
      expect(metricsMessage(summary, typeof received === "string" ? [] : received)).toEqual(sent);
    }),
  );
});

test("records of a type of the host's own stay packed", () => {
  const record = anyPack(StructSchema, create(StructSchema));
  const foreign = {
    $typeName: "google.protobuf.Any" as const,
    typeUrl: "type.example/host.Own",
    value: new Uint8Array([1, 2]),
  };
  const message = metrics({
    case: "custom",
    value: {
      records: [
        { sequence: 1n, record },
        { sequence: 2n, record: foreign },
      ],
    },
  });
  const records = hostRecords(message, 0);
  const again = metricsMessage(emptySummary("mine"), typeof records === "string" ? [] : records);
  expect(again.metrics.value).toMatchObject({
    records: [{ record }, { record: { typeUrl: "type.example/host.Own", value: new Uint8Array([1, 2]) } }],
  });
});
