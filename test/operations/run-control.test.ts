import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { BridgeSource } from "../../src/operations/bridge-source.ts";
import type { OperationStore } from "../../src/operations/operation-store.ts";
import { ProgressBridge } from "../../src/progress/progress-bridge.ts";
import { observed, ScriptedSource } from "../support/scripted-source.ts";
import { startTestRegistry } from "../support/test-registry.ts";

const { PENDING, RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;

/** A store whose writes fail while the disk is "full". */
function failingStore() {
  const disk = { full: false };
  const wrapStore = (store: OperationStore): OperationStore => {
    const unlessFull = <A extends unknown[], R>(write: (...args: A) => Promise<R>) => {
      return (...args: A): Promise<R> =>
        disk.full ? Promise.reject(new Error("no space left on device")) : write.apply(store, args);
    };
    return new Proxy(store, {
      get(target, key) {
        switch (key) {
          case "create":
            return unlessFull(target.create);
          case "replace":
            return unlessFull(target.replace);
          case "appendMetrics":
            return unlessFull(target.appendMetrics);
          default: {
            const value: unknown = Reflect.get(target, key, target);
            return typeof value === "function" ? value.bind(target) : value;
          }
        }
      },
    });
  };
  return { disk, wrapStore };
}

describe("when the store cannot be written", () => {
  test("a create is refused, and no operation is there", async () => {
    const { disk, wrapStore } = failingStore();
    const { operations, store } = await startTestRegistry({ wrapStore });
    disk.full = true;
    const create = operations.createOperation({ operationType: "training", operationId: "op_mine", requestId: "r" });
    await expect(create).rejects.toThrow("no space left on device");
    await expect(operations.getOperation("op_mine")).rejects.toMatchObject({ reason: "OPERATION_NOT_FOUND" });
    disk.full = false;
    expect(
      await operations.createOperation({ operationType: "training", operationId: "op_mine", requestId: "r" }),
    ).toMatchObject({ operationId: "op_mine", status: PENDING });
    expect(await store.get("op_mine")).toBeDefined();
  });

  test("a start and a cancellation are told to have failed, and nobody sees them as done", async () => {
    const { disk, wrapStore } = failingStore();
    const { operations, store } = await startTestRegistry({ wrapStore, options: { cacheTtlMs: 0 } });
    const { operationId } = await operations.createOperation({ operationType: "training" });
    disk.full = true;
    await expect(operations.startOperation(operationId)).rejects.toThrow("no space left on device");
    await expect(operations.cancelOperation(operationId, "enough")).rejects.toThrow("no space left on device");
    disk.full = false;
    const { info } = (await store.get(operationId)) ?? {};
    expect(info?.status).toBe(PENDING);
    const seen = await operations.getOperation(operationId);
    expect(seen.status).toBe(PENDING);
    expect(seen.cancellation).toBeUndefined();
    await operations.startOperation(operationId);
    expect((await operations.getOperation(operationId)).status).toBe(RUNNING);
  });

  test("what an executor says of a start or an acceptance is stored as soon as that is possible", async () => {
    const { disk, wrapStore } = failingStore();
    const { operations, store } = await startTestRegistry({ wrapStore });
    const { operationId: runs } = await operations.createOperation({ operationType: "training" });
    const { operationId: sent } = await operations.createOperation({ operationType: "training" });
    const host = new ScriptedSource();
    host.answer = () => observed({ status: RUNNING });
    const local: ScriptedSource[] = [];
    disk.full = true;
    const started = operations.control.start(runs, () => {
      local.push(new ScriptedSource(""));
      return local.at(-1) ?? host;
    });
    const accepted = operations.control.accepted(sent, host);
    expect((await store.get(runs))?.info.status).toBe(PENDING);
    disk.full = false;
    expect(await started).toBe(true);
    await accepted;
    expect((await store.get(runs))?.info.status).toBe(RUNNING);
    expect((await store.get(sent))?.info.status).toBe(RUNNING);
    expect(local.map(({ closed }) => closed)).toEqual([1, 0]);
  });

  test("an end is tried again until it is stored, with all metrics, and is not shown before", async () => {
    const { disk, wrapStore } = failingStore();
    const { operations, store } = await startTestRegistry({ wrapStore, options: { cacheTtlMs: 0 } });
    const { operationId } = await operations.createOperation({ operationType: "training" });
    await operations.startOperation(operationId, ({ attempt, cursor }) => {
      const bridge = new ProgressBridge({ operationType: "training", attempt, cursor });
      for (let epoch = 1; epoch <= 3; epoch++) {
        bridge.record("epoch", { epoch });
      }
      return new BridgeSource({ attempt, bridge, writer: bridge, cancel: () => {} });
    });
    disk.full = true;
    const ended = operations.completeOperation(operationId, { answer: 42 });
    await expect(operations.getMetrics(operationId, { cursor: 0, maxRecords: 9, latest: false })).rejects.toThrow(
      "no space left on device",
    );
    const [listed] = (await store.getMany([operationId])) ?? [];
    expect(listed?.info.status).toBe(RUNNING);
    disk.full = false;
    await ended;
    expect(await operations.getOperation(operationId)).toMatchObject({
      status: COMPLETED,
      resultSummary: { answer: 42 },
      metricsCursor: 3n,
    });
    expect(await store.readMetrics(operationId, 0, 10)).toHaveLength(3);
  });
});

describe("the execution_timeout", () => {
  const executionTimeout = durationFromMs(50);

  test("cancels work that runs too long, which then has FAILED by it", async () => {
    const { operations, clock } = await startTestRegistry();
    const { operationId } = await operations.createOperation({ operationType: "training", executionTimeout });
    await operations.startOperation(operationId);
    const token = operations.getCancellationToken(operationId);
    expect(await token?.waitForCancellation()).toBe("the execution_timeout of 0.05 s has passed");
    clock.nowMs += 60;
    await operations.control.finish(operationId, { status: "cancelled", forced: false });
    expect(await operations.getOperation(operationId)).toMatchObject({
      status: FAILED,
      error: { reason: "EXECUTION_TIMEOUT", code: 4, message: "the execution_timeout of 0.05 s has passed" },
    });
  });

  test("changes nothing about work that finishes all the same", async () => {
    const { operations } = await startTestRegistry();
    const { operationId } = await operations.createOperation({ operationType: "training", executionTimeout });
    await operations.startOperation(operationId);
    await operations.getCancellationToken(operationId)?.waitForCancellation();
    await operations.completeOperation(operationId);
    expect((await operations.getOperation(operationId)).status).toBe(COMPLETED);
  });

  test("does not begin while the operation waits for its turn", async () => {
    const { operations, clock } = await startTestRegistry();
    const { operationId } = await operations.createOperation({ operationType: "training", executionTimeout });
    const later = await operations.createOperation({ operationType: "training", executionTimeout });
    await operations.startOperation(later.operationId);
    await operations.getCancellationToken(later.operationId)?.waitForCancellation();
    clock.nowMs += 3_600_000;
    expect((await operations.getOperation(operationId)).status).toBe(PENDING);
    expect(operations.getCancellationToken(operationId)?.isCancelled()).toBe(false);
  });
});

describe("draining before a stop", () => {
  test("refuses new operations, tells running ones, and leaves what waits in the store", async () => {
    const { operations } = await startTestRegistry();
    const { operationId: waiting } = await operations.createOperation({ operationType: "training" });
    const { operationId: runs } = await operations.createOperation({ operationType: "training" });
    await operations.startOperation(runs);
    void operations
      .getCancellationToken(runs)
      ?.waitForCancellation()
      .then(async () => {
        await operations.control.finish(runs, { status: "cancelled", forced: false });
      });
    await operations.drain("the server is stopping", 20_000);
    expect(await operations.getOperation(runs)).toMatchObject({
      status: CANCELLED,
      cancellation: { reason: "the server is stopping" },
    });
    expect((await operations.getOperation(waiting)).status).toBe(PENDING);
    await expect(operations.createOperation({ operationType: "training" })).rejects.toMatchObject({
      reason: "SHUTTING_DOWN",
    });
  });

  test("does not wait longer than it may for work that does not stop", async () => {
    const { operations } = await startTestRegistry();
    const { operationId } = await operations.createOperation({ operationType: "training" });
    await operations.startOperation(operationId);
    await operations.drain("the server is stopping", 50);
    expect((await operations.getOperation(operationId)).status).toBe(RUNNING);
  });
});
