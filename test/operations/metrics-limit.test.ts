import { create } from "@bufbuild/protobuf";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { OperationInfoSchema, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { CreateOperationRequestSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { BridgeSource } from "../../src/operations/bridge-source.ts";
import { newStoredOperation } from "../../src/operations/create-operation.ts";
import { LiveOperation } from "../../src/operations/live-operation.ts";
import { MetricsLimit } from "../../src/operations/metrics-limit.ts";
import type { PullRequest } from "../../src/operations/operation-source.ts";
import { keptWarnings, ProgressBridge } from "../../src/progress/progress-bridge.ts";
import { openSqliteStore } from "../../src/store/sqlite-store.ts";
import { metricRecords } from "../support/metric-records.ts";
import { observed, ScriptedSource } from "../support/scripted-source.ts";
import { startTestRegistry } from "../support/test-registry.ts";

const { RUNNING, COMPLETED } = OperationStatus;
const warning = "only the first 3 metric records are kept, further ones are dropped (maxMetricRecords)";

const limitOf = (max: number, cursor: number, warnings: string[] = []) =>
  new MetricsLimit(max, { cursor, summary: new Uint8Array() }, create(OperationInfoSchema, { warnings }));

const epochs = (from: number, to: number) =>
  metricRecords(
    "epoch",
    Array.from({ length: to - from + 1 }, (_, index) => ({ epoch: from + index })),
    { firstSequence: from },
  );

/** Answers like a source that holds `count` records, as many at once as it is told. */
const holding =
  (count: number, pageSize: number, status: OperationStatus = RUNNING) =>
  ({ cursor, metrics }: PullRequest) => {
    const last = metrics || status === COMPLETED ? Math.min(cursor + pageSize, count) : cursor;
    return observed({ status, metricsCursor: BigInt(count) }, epochs(cursor + 1, last), last < count);
  };

/** An operation that runs in a registry that keeps three records. */
async function running(source: ScriptedSource | BridgeSource) {
  const registry = await startTestRegistry({ options: { cacheTtlMs: 0, maxMetricRecords: 3 } });
  const { operationId } = await registry.operations.createOperation({ operationType: "training" });
  await registry.operations.startOperation(operationId, () => source);
  const metrics = (cursor = 0) =>
    registry.operations.getMetrics(operationId, { cursor, maxRecords: 100, latest: false });
  return { ...registry, operationId, metrics };
}

describe("the limit of an operation", () => {
  test("is exceeded from the start when what is stored says so", () => {
    expect(limitOf(3, 3, [warning]).isExceeded).toBe(true);
    expect(limitOf(3, 3).isExceeded).toBe(false);
    expect(limitOf(4, 3, [warning]).isExceeded).toBe(false);
    // The warning of a host that keeps fewer.
    expect(limitOf(3, 2, [warning]).isExceeded).toBe(false);
  });

  test("that was greater before leaves what is kept", () => {
    const limit = limitOf(1, 3, [warning]);
    expect(limit).toMatchObject({ warning, isExceeded: true });
    expect([limit.keeps(3), limit.keeps(4), limit.upTo(9n), limit.upTo(2n)]).toEqual([true, false, 3n, 2n]);
  });

  test("that is smaller than what a host told of before is what the operation shows", async () => {
    const store = await openSqliteStore(":memory:");
    onTestFinished(() => store.close());
    const request = create(CreateOperationRequestSchema, { operationType: "training" });
    const wanted = { request, host: "http://host.test:1", attempt: 1, retryOf: "" };
    const { info, ...stored } = newStoredOperation(wanted, "server-1", 0);
    const { metricsCursor } = new LiveOperation({
      store,
      stored: { ...stored, info: { ...info, metricsCursor: 100n } },
      log: { cursor: 2, summary: new Uint8Array() },
      maxMetricRecords: 3,
      now: () => 0,
    }).info;
    expect(metricsCursor).toBe(3n);
  });

  test("adds one warning, which stays in its place, and not one too many", () => {
    const limit = limitOf(3, 0);
    expect(limit.warnings([], ["a"])).toEqual(["a"]);
    limit.exceed();
    expect(limit.warnings(["a"], ["a"])).toEqual(["a", warning]);
    expect(limit.warnings(["a", warning], ["a", "b"])).toEqual(["a", warning, "b"]);
    expect(limit.warnings(["a", warning], [])).toEqual([warning]);
    expect(limit.warnings([], [warning, "b"])).toEqual([warning, "b"]);
    const many = Array.from({ length: keptWarnings }, (_, index) => `${index}`);
    expect(limit.warnings(many, many)).toEqual([...many.slice(1), warning]);
  });
});

describe("a log that is full", () => {
  test("is not exceeded by the last record it takes", async () => {
    const source = new ScriptedSource();
    source.answer = holding(3, 10);
    const { metrics } = await running(source);
    expect(await metrics()).toMatchObject({ newCursor: 3, hasMore: false, operation: { warnings: [] } });
    await metrics();
    expect(source.pulls.map(({ cursor, dropsRecords }) => [cursor, dropsRecords])).toEqual([
      [0, false],
      [3, false],
    ]);
  });

  test("wants no more records of its source once it has dropped one, in the middle of a page or between two", async () => {
    for (const pageSize of [2, 3]) {
      const source = new ScriptedSource();
      source.answer = holding(1_000, pageSize);
      const { metrics, store, operationId } = await running(source);
      expect(await metrics()).toMatchObject({
        newCursor: 3,
        hasMore: false,
        operation: { metricsCursor: 3n, warnings: [warning] },
        metrics: { metrics: { value: { trends: { epochCount: 3n } } } },
      });
      expect(source.pulls).toHaveLength(2);
      // Stored at once, or a crash would take it.
      expect((await store.get(operationId))?.info.warnings).toEqual([warning]);
      expect(await metrics(3)).toMatchObject({ newCursor: 3, hasMore: false, operation: { warnings: [warning] } });
      expect(source.pulls.slice(2).map(({ dropsRecords }) => dropsRecords)).toEqual([true]);
    }
  });

  test("ends with its operation, whose source has more than was ever asked for", async () => {
    const source = new ScriptedSource();
    source.answer = holding(1_000, 10, COMPLETED);
    const { operations, operationId, metrics } = await running(source);
    const ended = await operations.getOperation(operationId);
    expect(ended).toMatchObject({ status: COMPLETED, metricsCursor: 3n, warnings: [warning] });
    expect(source.pulls).toHaveLength(1);
    expect(await metrics(1)).toMatchObject({ newCursor: 3, hasMore: false });
  });

  test("drops nothing before the store says so", async () => {
    const source = new ScriptedSource();
    source.answer = holding(5, 10);
    const { metrics, store } = await running(source);
    vi.spyOn(store, "replace").mockRejectedValueOnce(new Error("the disk is full"));
    await expect(metrics()).rejects.toThrow("the disk is full");
    expect(await metrics()).toMatchObject({ newCursor: 3, operation: { warnings: [warning] } });
    await metrics();
    expect(source.pulls.map(({ dropsRecords }) => dropsRecords)).toEqual([false, false, true]);
  });

  test("has the bridge forget what is not kept, also when the work ends with it", async () => {
    const bridge = new ProgressBridge({ operationType: "training" });
    const source = new BridgeSource({ attempt: 1, bridge, writer: bridge, cancel: () => {} });
    const { operations, operationId, metrics } = await running(source);
    const record = (count: number) => {
      for (let epoch = 1; epoch <= count; epoch++) bridge.record("epoch", { epoch });
    };
    bridge.warn("slow");
    expect(await metrics()).toMatchObject({ newCursor: 0, operation: { warnings: ["slow"] } });
    record(5_000);
    expect(await metrics()).toMatchObject({ newCursor: 3, operation: { warnings: ["slow", warning] } });
    bridge.warn("slower");
    record(10);
    expect(await metrics()).toMatchObject({ newCursor: 3, operation: { warnings: ["slow", warning, "slower"] } });
    expect(bridge.recordsAfter(0, 10)).toEqual([]);
    record(5_000);
    await operations.completeOperation(operationId);
    expect(await operations.getOperation(operationId)).toMatchObject({
      status: COMPLETED,
      metricsCursor: 3n,
      warnings: ["slow", warning, "slower"],
    });
  });
});
