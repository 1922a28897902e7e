import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { EpochMetricsSchema } from "../../gen/longhaul/v1/metrics_pb.ts";
import { ProgressBridge } from "../../src/progress/progress-bridge.ts";

function createBridge(options: { crowdedAt?: number; cursor?: number } = {}): ProgressBridge {
  let clock = 1_000;
  return new ProgressBridge({ operationType: "training", attempt: 2, now: () => clock++, ...options });
}

describe("progress", () => {
  test("nothing is reported before the first write", () => {
    expect(createBridge({ cursor: 4 }).read()).toEqual({ progress: {}, changedAtMs: 0, warnings: [], cursor: 4 });
  });

  test("a caller that reuses its object does not change what was written", () => {
    const bridge = createBridge();
    const progress = { percentage: 1, context: { inner: { list: [1, { deep: 1 }] } }, phasePath: ["a"] };
    bridge.update(progress);
    const written = structuredClone(progress);
    progress.percentage = 2;
    progress.context.inner.list.push(2);
    progress.phasePath.push("b");
    expect(bridge.read()).toMatchObject({ progress: written, changedAtMs: 1_000 });
  });

  test("a reader that changes its copy does not change the bridge", () => {
    const bridge = createBridge();
    bridge.update({ context: { epoch: 1 } });
    Object.assign(bridge.read().progress.context ?? {}, { epoch: 2 });
    expect(bridge.read().progress.context).toEqual({ epoch: 1 });
  });

  test('a context with the key "__proto__" is copied as data', () => {
    const bridge = createBridge();
    bridge.update({ context: JSON.parse('{"__proto__": {"polluted": {"deep": true}}}') });
    const { context } = bridge.read().progress;
    expect(JSON.stringify(context)).toBe('{"__proto__":{"polluted":{"deep":true}}}');
    expect(Object.getPrototypeOf(context)).toBe(Object.prototype);
  });

  test("the newest 100 warnings are kept", () => {
    const bridge = createBridge();
    for (let number = 1; number <= 130; number++) bridge.warn(`warning ${number}`);
    expect(bridge.read().warnings).toHaveLength(100);
    expect(bridge.read().warnings.at(0)).toBe("warning 31");
    expect(bridge.read().warnings.at(-1)).toBe("warning 130");
  });
});

describe("metric records", () => {
  test("records are numbered after the cursor and read the same until they are released", () => {
    const bridge = createBridge({ cursor: 10 });
    for (let epoch = 1; epoch <= 5; epoch++) expect(bridge.record("epoch", { epoch })).toBe(10 + epoch);
    const page = bridge.recordsAfter(11, 2);
    expect(page.map(({ sequence, attempt, recordedAtMs }) => [sequence, attempt, recordedAtMs])).toEqual([
      [12, 2, 1_001],
      [13, 2, 1_002],
    ]);
    expect(bridge.recordsAfter(11, 2)).toEqual(page);
    bridge.release(12);
    bridge.release(3);
    expect(bridge.recordsAfter(0, 10).map(({ sequence }) => sequence)).toEqual([13, 14, 15]);
    expect(bridge.recordsAfter(13, 10).map(({ sequence }) => sequence)).toEqual([14, 15]);
    bridge.release(99);
    expect(bridge.recordsAfter(0, 10)).toEqual([]);
    expect(bridge.record("epoch", { epoch: 6 })).toBe(16);
    expect(bridge.recordsAfter(15, 10)).toHaveLength(1);
    expect(bridge.read().cursor).toBe(16);
  });

  test("a caller that reuses its object does not change a record", () => {
    const bridge = createBridge();
    const epoch = { epoch: 1, values: { f1: 0.5 } };
    bridge.record("epoch", epoch);
    epoch.epoch = 2;
    epoch.values.f1 = 0.9;
    const [record] = bridge.recordsAfter(0, 1);
    expect(record && fromBinary(EpochMetricsSchema, record.payload)).toMatchObject({ epoch: 1, values: { f1: 0.5 } });
  });

  test("a refused record is not counted and does not choose the family", () => {
    const bridge = new ProgressBridge({ operationType: "lstm_training" });
    expect(() => bridge.record("bar", { bar: 0.5 })).toThrow(/BarMetrics\.bar/);
    expect(bridge.record("epoch", { epoch: 1 })).toBe(1);
    expect(() => bridge.record("bar", { bar: 1 })).toThrow(TypeError);
    expect(bridge.read().cursor).toBe(1);
  });
});

describe("crowding", () => {
  test("everyone who waits is told when more records are held than wanted", async () => {
    const bridge = createBridge({ crowdedAt: 3 });
    const { signal } = new AbortController();
    let told = 0;
    const waits = [1, 2].map(() => bridge.whenCrowded(signal).then(() => told++));
    for (let epoch = 1; epoch <= 3; epoch++) bridge.record("epoch", { epoch });
    await Promise.resolve();
    expect(told).toBe(0);
    bridge.record("epoch", { epoch: 4 });
    await Promise.all(waits);
    await bridge.whenCrowded(signal);
    bridge.release(4);
    const controller = new AbortController();
    const waiting = bridge.whenCrowded(controller.signal);
    controller.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
  });

  test("a signal that is aborted already rejects", async () => {
    await expect(createBridge().whenCrowded(AbortSignal.abort(new Error("before")))).rejects.toThrow("before");
  });
});
