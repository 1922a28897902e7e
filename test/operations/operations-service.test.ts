import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { BridgeSource } from "../../src/operations/bridge-source.ts";
import { ProgressBridge } from "../../src/progress/progress-bridge.ts";
import { observed, ScriptedSource } from "../support/scripted-source.ts";
import { clockBeginsMs, startTestRegistry } from "../support/test-registry.ts";

const { PENDING, RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;

/** A registry with one operation that its creator runs. */
async function withOperation(start = true) {
  const registry = await startTestRegistry({ options: { cacheTtlMs: 0 } });
  const { operationId } = await registry.operations.createOperation({ operationType: "training", totalSteps: 10n });
  if (start) {
    await registry.operations.startOperation(operationId);
  }
  return { ...registry, operationId };
}

describe("a new operation", () => {
  test("is PENDING, and is found at once, in memory and in the store", async () => {
    const { operations, store, operationId } = await withOperation(false);
    const operation = await operations.getOperation(operationId);
    expect(operation).toMatchObject({ status: PENDING, attempt: 1, createdAt: timestampFromMs(clockBeginsMs) });
    expect(operation.startedAt).toBeUndefined();
    expect((await store.get(operationId))?.info).toMatchObject({ operationId, status: PENDING });
  });

  test("has a token from its creation, the same one each time", async () => {
    const { operations, operationId } = await withOperation(false);
    const token = operations.getCancellationToken(operationId);
    expect(token?.isCancelled()).toBe(false);
    await operations.startOperation(operationId);
    expect(operations.getCancellationToken(operationId)).toBe(token);
    expect(operations.control.tokenFor(operationId)).toBe(token);
    await operations.cancelOperation(operationId, "enough");
    expect(token?.reason).toBe("enough");
    expect(operations.getCancellationToken(operationId)).toBe(token);
    await operations.completeOperation(operationId);
    expect(operations.getCancellationToken(operationId)).toBeUndefined();
  });

  test("of a type that nobody serves is refused with the types that are", async () => {
    const { operations } = await startTestRegistry();
    await expect(operations.createOperation({ operationType: "trainin" })).rejects.toMatchObject({
      reason: "UNKNOWN_OPERATION_TYPE",
      message: 'operation_type: "trainin" is not served here; the types are backtesting, custom, data_load, training',
    });
  });

  test("gets no parent that does not exist, has ended or is being cancelled", async () => {
    const { operations, operationId: parentOperationId } = await withOperation();
    const create = (parent: string) =>
      operations.createOperation({ operationType: "training", parentOperationId: parent });
    await expect(create("op_nobody")).rejects.toMatchObject({ reason: "OPERATION_NOT_FOUND" });
    expect(await create(parentOperationId)).toMatchObject({ parentOperationId });
    await operations.cancelOperation(parentOperationId, "enough");
    await expect(create(parentOperationId)).rejects.toMatchObject({ reason: "PARENT_ENDED" });
    await operations.completeOperation(parentOperationId);
    await expect(create(parentOperationId)).rejects.toMatchObject({ reason: "PARENT_ENDED" });
  });
});

describe("an operation that its creator runs", () => {
  test("is RUNNING with a start once started, and cannot be started twice", async () => {
    const { operations, clock, operationId } = await withOperation(false);
    clock.nowMs += 1_500;
    await operations.startOperation(operationId);
    expect(await operations.getOperation(operationId)).toMatchObject({
      status: RUNNING,
      startedAt: timestampFromMs(clockBeginsMs + 1_500),
    });
    await expect(operations.startOperation(operationId)).rejects.toMatchObject({ reason: "ILLEGAL_TRANSITION" });
  });

  test("shows the progress it wrote last", async () => {
    const { operations, operationId } = await withOperation();
    operations.updateProgress(operationId, { percentage: 20, currentStep: "one" });
    operations.updateProgress(operationId, { percentage: 30, stepsCompleted: 3, context: { loss: 0.5 } });
    expect((await operations.getOperation(operationId)).progress).toMatchObject({
      percentage: 30,
      currentStep: "",
      stepsCompleted: 3n,
      stepsTotal: 10n,
      context: { loss: 0.5 },
    });
  });

  test("cannot write progress before its start or after its end", async () => {
    const { operations, operationId } = await withOperation(false);
    const update = () => operations.updateProgress(operationId, { percentage: 1 });
    expect(update).toThrow(expect.objectContaining({ reason: "ILLEGAL_TRANSITION" }));
    await operations.startOperation(operationId);
    expect(update).not.toThrow();
    await operations.completeOperation(operationId);
    expect(update).toThrow(expect.objectContaining({ reason: "ILLEGAL_TRANSITION" }));
  });

  test("is COMPLETED at 100 % with its summary, and stays so", async () => {
    const { operations, clock, operationId } = await withOperation();
    clock.nowMs += 60_000;
    await operations.completeOperation(operationId, { answer: 42 });
    const ended = await operations.getOperation(operationId);
    expect(ended).toMatchObject({
      status: COMPLETED,
      progress: { percentage: 100, stepsCompleted: 10n },
      resultSummary: { answer: 42 },
      completedAt: timestampFromMs(clockBeginsMs + 60_000),
      expiresAt: timestampFromMs(clockBeginsMs + 60_000 + 24 * 3_600_000),
    });
    await operations.failOperation(operationId, "too late");
    await operations.cancelOperation(operationId, "too late", { force: true });
    expect(await operations.getOperation(operationId)).toBe(ended);
  });

  test("FAILED says why", async () => {
    const { operations, operationId } = await withOperation();
    await operations.failOperation(operationId, "the feed is down");
    expect(await operations.getOperation(operationId)).toMatchObject({
      status: FAILED,
      error: { reason: "OPERATION_FAILED", message: "the feed is down", code: 2 },
    });
  });
});

describe("cancelling", () => {
  test("ends a PENDING operation at once", async () => {
    const { operations, operationId } = await withOperation(false);
    const cancelled = await operations.cancelOperation(operationId, "not needed");
    expect(cancelled).toMatchObject({ status: CANCELLED, cancellation: { reason: "not needed", forced: false } });
    expect(cancelled.startedAt).toBeUndefined();
    expect(cancelled.cancellation?.acknowledgedAt).toBeUndefined();
    await expect(operations.startOperation(operationId)).rejects.toMatchObject({ reason: "ILLEGAL_TRANSITION" });
  });

  test("tells a RUNNING one, which is CANCELLED only when it says so", async () => {
    const { operations, operationId } = await withOperation();
    const asked = await operations.cancelOperation(operationId, "enough");
    expect(asked).toMatchObject({ status: RUNNING, cancellation: { reason: "enough" } });
    expect(asked.cancellation?.deliveredAt).toBeDefined();
    await operations.control.finish(operationId, { status: "cancelled", forced: false });
    const ended = await operations.getOperation(operationId);
    expect(ended).toMatchObject({ status: CANCELLED, cancellation: { reason: "enough", forced: false } });
    expect(ended.cancellation?.acknowledgedAt).toBeDefined();
  });

  test("leaves work that finishes first COMPLETED", async () => {
    const { operations, operationId } = await withOperation();
    await operations.cancelOperation(operationId, "enough");
    await operations.completeOperation(operationId);
    const ended = await operations.getOperation(operationId);
    expect(ended).toMatchObject({ status: COMPLETED, cancellation: { reason: "enough" } });
    expect(ended.cancellation?.acknowledgedAt).toBeUndefined();
  });

  test("keeps the first reason", async () => {
    const { operations, operationId } = await withOperation();
    await operations.cancelOperation(operationId, "first");
    expect((await operations.cancelOperation(operationId, "second")).cancellation?.reason).toBe("first");
  });

  test("by force settles the record at once and fences the late result", async () => {
    const { operations, operationId } = await withOperation();
    const token = operations.getCancellationToken(operationId);
    const forced = await operations.cancelOperation(operationId, "now", { force: true });
    expect(forced).toMatchObject({ status: CANCELLED, cancellation: { reason: "now", forced: true } });
    expect(token?.isCancelled()).toBe(true);
    await operations.completeOperation(operationId, { answer: 42 });
    expect(await operations.getOperation(operationId)).toBe(forced);
  });

  test("asks children first", async () => {
    const { operations, operationId: parentOperationId } = await withOperation();
    const { operationId: child } = await operations.createOperation({ operationType: "training", parentOperationId });
    await operations.startOperation(child);
    const order: string[] = [];
    void operations
      .getCancellationToken(parentOperationId)
      ?.waitForCancellation()
      .then(() => order.push("parent"));
    void operations
      .getCancellationToken(child)
      ?.waitForCancellation()
      .then(() => order.push("child"));
    await operations.cancelOperation(parentOperationId, "enough");
    expect(order).toEqual(["child", "parent"]);
    expect(await operations.getOperation(child)).toMatchObject({ cancellation: { reason: "enough" } });
  });

  test("goes on until the source has heard of it, and never shows an undelivered one as delivered", async () => {
    const { operations, operationId } = await withOperation(false);
    const source = new ScriptedSource();
    source.delivery = { outcome: "unreachable", reason: "connection refused" };
    source.answer = () => ({ outcome: "unreachable", reason: "connection refused" });
    await operations.startOperation(operationId, () => source);
    const asked = await operations.cancelOperation(operationId, "enough");
    expect(asked).toMatchObject({ status: RUNNING, cancellation: { reason: "enough" } });
    expect(asked.cancellation?.deliveredAt).toBeUndefined();
    source.delivery = { outcome: "delivered" };
    await expect
      .poll(async () => (await operations.getOperation(operationId)).cancellation?.deliveredAt, { timeout: 10_000 })
      .toBeDefined();
    expect(source.cancels.every(({ reason, force }) => reason === "enough" && !force)).toBe(true);
    await operations.failOperation(operationId, "the test is over");
  });
});

describe("retrying", () => {
  test("makes a new operation with attempt + 1 that names the old one", async () => {
    const { operations, operationId } = await withOperation();
    await operations.failOperation(operationId, "no");
    const again = await operations.retryOperation(operationId);
    expect(again).toMatchObject({ status: PENDING, attempt: 2, retryOf: operationId, operationType: "training" });
    expect(again.operationId).not.toBe(operationId);
    await operations.cancelOperation(again.operationId, "no");
    expect(await operations.retryOperation(again.operationId)).toMatchObject({
      attempt: 3,
      retryOf: again.operationId,
    });
    expect(await operations.getOperation(operationId)).toMatchObject({ status: FAILED, attempt: 1 });
  });

  test("twice with the same request_id makes one operation", async () => {
    const { operations, operationId } = await withOperation();
    await operations.failOperation(operationId, "no");
    const [first, second] = await Promise.all([
      operations.retryOperation(operationId, "again"),
      operations.retryOperation(operationId, "again"),
    ]);
    expect(second.operationId).toBe(first.operationId);
  });

  test("is refused unless the operation FAILED or was CANCELLED", async () => {
    const { operations, operationId } = await withOperation();
    await expect(operations.retryOperation(operationId)).rejects.toMatchObject({ reason: "OPERATION_NOT_RETRYABLE" });
    await operations.completeOperation(operationId);
    await expect(operations.retryOperation(operationId)).rejects.toMatchObject({ reason: "OPERATION_NOT_RETRYABLE" });
    await expect(operations.retryOperation("op_nobody")).rejects.toMatchObject({ reason: "OPERATION_NOT_FOUND" });
  });
});

describe("deleting", () => {
  test("removes an operation that has ended, without a trace", async () => {
    const { operations, operationId } = await withOperation();
    await operations.completeOperation(operationId);
    await operations.deleteOperation(operationId);
    await expect(operations.getOperation(operationId)).rejects.toMatchObject({ reason: "OPERATION_NOT_FOUND" });
    await expect(operations.deleteOperation(operationId)).rejects.toMatchObject({ reason: "OPERATION_NOT_FOUND" });
  });

  test("is refused before the end", async () => {
    const { operations, operationId } = await withOperation(false);
    await expect(operations.deleteOperation(operationId)).rejects.toMatchObject({ reason: "OPERATION_NOT_TERMINAL" });
    await operations.startOperation(operationId);
    await expect(operations.deleteOperation(operationId)).rejects.toMatchObject({ reason: "OPERATION_NOT_TERMINAL" });
  });
});

describe("waiting", () => {
  test("ends with the next change, with the end, and with the signal", async () => {
    const { operations, operationId } = await withOperation();
    const { revision } = await operations.getOperation(operationId);
    const wait = { knownRevision: revision, untilDone: false, timeoutMs: 20_000 };
    const change = operations.waitOperation(operationId, wait);
    const done = operations.waitOperation(operationId, { ...wait, untilDone: true });
    const caller = new AbortController();
    const left = operations.waitOperation(operationId, { ...wait, untilDone: true, signal: caller.signal });
    operations.updateProgress(operationId, { percentage: 5 });
    expect((await change).progress?.percentage).toBe(5);
    caller.abort();
    expect((await left).status).toBe(RUNNING);
    await operations.completeOperation(operationId);
    expect((await done).status).toBe(COMPLETED);
  });

  test("is over at once when the revision has moved already or nothing can move any more", async () => {
    const { operations, operationId } = await withOperation();
    const wait = { knownRevision: 1n, untilDone: false, timeoutMs: 3_600_000 };
    expect((await operations.waitOperation(operationId, wait)).status).toBe(RUNNING);
    await operations.completeOperation(operationId);
    const ended = await operations.getOperation(operationId);
    const known = { ...wait, knownRevision: ended.revision };
    expect(await operations.waitOperation(operationId, known)).toBe(ended);
  });

  test("of a hundred callers costs the source as much as one", async () => {
    const { operations, operationId } = await withOperation(false);
    const source = new ScriptedSource();
    source.answer = () => observed({ status: RUNNING });
    await operations.startOperation(operationId, () => source);
    const { revision } = await operations.getOperation(operationId);
    const before = source.pulls.length;
    const caller = new AbortController();
    const wait = { knownRevision: revision, untilDone: true, timeoutMs: 20_000, signal: caller.signal };
    const waiters = Array.from({ length: 100 }, () => operations.waitOperation(operationId, wait));
    await expect.poll(() => source.pulls.length - before, { timeout: 10_000 }).toBeGreaterThanOrEqual(4);
    caller.abort();
    await Promise.all(waiters);
    // 100 waiters with a pull each would be at 400.
    expect(source.pulls.length - before).toBeLessThan(100);
    await operations.failOperation(operationId, "the test is over");
  });
});

describe("a polled completion", () => {
  test("already has the final metrics", async () => {
    const { operations, operationId } = await withOperation(false);
    let record = (_: number) => {};
    await operations.startOperation(operationId, ({ attempt, cursor }) => {
      const bridge = new ProgressBridge({ operationType: "training", attempt, cursor });
      record = (epoch) => void bridge.record("epoch", { epoch });
      return new BridgeSource({ attempt, bridge, writer: bridge, cancel: () => {} });
    });
    for (let epoch = 1; epoch <= 5_000; epoch++) {
      record(epoch);
    }
    await operations.completeOperation(operationId);
    expect(await operations.getOperation(operationId)).toMatchObject({ status: COMPLETED, metricsCursor: 5_000n });
    const page = await operations.getMetrics(operationId, { cursor: 4_999, maxRecords: 10, latest: false });
    expect(page).toMatchObject({ newCursor: 5_000, hasMore: false });
    expect(page.metrics.metrics).toMatchObject({
      value: { epochs: [{ epoch: 5_000, sequence: 5_000n }], trends: { epochCount: 5_000n } },
    });
  });
});
