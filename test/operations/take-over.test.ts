import { describe, expect, test, vi } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { BridgeSource } from "../../src/operations/bridge-source.ts";
import type { OperationExecutor, OperationRun, Recovery } from "../../src/operations/operation-executor.ts";
import type { OperationsService } from "../../src/operations/operations-service.ts";
import { ProgressBridge } from "../../src/progress/progress-bridge.ts";
import { observed, ScriptedSource } from "../support/scripted-source.ts";
import { startTestRegistry, type TestRegistry } from "../support/test-registry.ts";

const { PENDING, RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;

/** An executor that only notes what it is given. */
function noting(recovery: Recovery = { outcome: "lost" }, host = "") {
  const dispatched: { operationId: string; again: boolean }[] = [];
  const executor: OperationExecutor = {
    host,
    dispatch: ({ info }, _, { again }) => dispatched.push({ operationId: info.operationId, again }),
    withdraw: () => true,
    recover: () => recovery,
  };
  return { executor, dispatched };
}

/** The registry on the same store, as after a restart of the process. */
async function restarted(before: TestRegistry, executors: Record<string, OperationExecutor>) {
  await before.stop();
  const { dataDir, clock } = before;
  const nowMs = clock.nowMs + 60_000;
  return startTestRegistry({
    dataDir,
    nowMs,
    executors,
    executorForHost: (url) => Object.values(executors).find(({ host }) => host === url) ?? noting().executor,
  });
}

/** Starts an operation with a bridge of the test's own. */
async function startWithBridge(
  operations: OperationsService,
  operationId: string,
): Promise<[ProgressBridge, OperationRun]> {
  let begun: [ProgressBridge, OperationRun] | undefined;
  await operations.control.start(operationId, (run) => {
    const bridge = new ProgressBridge({ operationType: "training", ...run });
    begun = [bridge, run];
    return new BridgeSource({ attempt: run.attempt, bridge, writer: bridge, cancel: () => {} });
  });
  if (!begun) {
    throw new Error(`${operationId} was not started`);
  }
  return begun;
}

describe("after a restart of the process", () => {
  test("a PENDING operation is dispatched again", async () => {
    const before = await startTestRegistry({ executors: { training: noting().executor } });
    const { operationId } = await before.operations.createOperation({ operationType: "training" });
    const { executor, dispatched } = noting();
    const { operations } = await restarted(before, { training: executor });
    expect(dispatched).toEqual([{ operationId, again: true }]);
    expect((await operations.getOperation(operationId)).status).toBe(PENDING);
  });

  test("a RUNNING one is FAILED also when its type has been routed to a host since", async () => {
    const before = await startTestRegistry({ executors: { training: noting().executor } });
    const { operationId } = await before.operations.createOperation({ operationType: "training" });
    await startWithBridge(before.operations, operationId);
    const routed = noting({ outcome: "attached", source: new ScriptedSource() }, "http://host.test:1");
    const { operations } = await restarted(before, { training: routed.executor });
    expect(await operations.getOperation(operationId)).toMatchObject({
      status: FAILED,
      error: { reason: "PROCESS_RESTARTED" },
    });
  });

  test("a RUNNING one is FAILED with PROCESS_RESTARTED, with its last saved progress and metrics", async () => {
    const before = await startTestRegistry({ executors: { training: noting().executor } });
    const { operationId } = await before.operations.createOperation({ operationType: "training" });
    const [bridge] = await startWithBridge(before.operations, operationId);
    bridge.update({ percentage: 60, currentStep: "epoch 3" });
    bridge.record("epoch", { epoch: 3 });
    await before.operations.sweep();
    const { executor, dispatched } = noting();
    const { operations } = await restarted(before, { training: executor });
    expect(await operations.getOperation(operationId)).toMatchObject({
      status: FAILED,
      error: { reason: "PROCESS_RESTARTED" },
      progress: { percentage: 60, currentStep: "epoch 3" },
      metricsCursor: 1n,
    });
    expect(dispatched).toEqual([]);
  });

  test("a restartable one is run again with attempt + 1, and its metrics go on where they were", async () => {
    const restartable = () => noting({ outcome: "restartable" });
    const before = await startTestRegistry({ executors: { training: restartable().executor } });
    const { operationId } = await before.operations.createOperation({ operationType: "training", totalSteps: 10n });
    const [first] = await startWithBridge(before.operations, operationId);
    first.update({ percentage: 60 });
    first.record("epoch", { epoch: 1 });
    first.record("epoch", { epoch: 2 });
    await before.operations.sweep();
    const { executor, dispatched } = restartable();
    const { operations } = await restarted(before, { training: executor });
    expect(dispatched).toEqual([{ operationId, again: true }]);
    const [second, run] = await startWithBridge(operations, operationId);
    expect(run).toEqual({ attempt: 2, cursor: 2 });
    second.record("epoch", { epoch: 1 });
    expect(await operations.getOperation(operationId, 0)).toMatchObject({
      status: RUNNING,
      attempt: 2,
      progress: { percentage: 0, stepsTotal: 10n },
    });
    await operations.completeOperation(operationId);
    const page = await operations.getMetrics(operationId, { cursor: 0, maxRecords: 10, latest: false });
    expect(page.metrics.metrics.value).toMatchObject({
      epochs: [
        { sequence: 1n, attempt: 1, epoch: 1 },
        { sequence: 2n, attempt: 1, epoch: 2 },
        { sequence: 3n, attempt: 2, epoch: 1 },
      ],
      trends: { epochCount: 3n },
    });
  });

  test.each(["lost", "restartable"] as const)(
    "one whose cancellation was asked for is CANCELLED (%s)",
    async (outcome) => {
      const before = await startTestRegistry({ executors: { training: noting({ outcome }).executor } });
      const { operationId } = await before.operations.createOperation({ operationType: "training" });
      await startWithBridge(before.operations, operationId);
      await before.operations.cancelOperation(operationId, "enough");
      const { executor, dispatched } = noting({ outcome });
      const { operations } = await restarted(before, { training: executor });
      expect(await operations.getOperation(operationId)).toMatchObject({
        status: CANCELLED,
        cancellation: { reason: "enough", forced: true },
      });
      expect(dispatched).toEqual([]);
    },
  );

  test.each([
    ["the one that was told", 1, () => 0n],
    ["the one a caller has, also when the clock was set back", -1, (told: bigint) => told],
  ])("one that waits for its host has a revision that follows %s", async (_which, laterMs, known) => {
    const host = "http://host.test:1";
    const before = await startTestRegistry({ executors: { training: noting({ outcome: "lost" }, host).executor } });
    const { operationId } = await before.operations.createOperation({ operationType: "training" });
    before.clock.nowMs += 10;
    before.operations.control.waiting(operationId, "the host cannot be reached");
    const told = await before.operations.getOperation(operationId);
    expect(told.revision).toBeGreaterThan((await before.store.get(operationId))?.info.revision ?? 0n);
    // As kill -9 would leave it.
    vi.spyOn(before.store, "replace").mockRejectedValue(new Error("killed"));
    await before.stop().catch(() => {});
    const { operations } = await startTestRegistry({
      dataDir: before.dataDir,
      nowMs: before.clock.nowMs + laterMs,
      executors: { training: noting({ outcome: "lost" }, host).executor },
      executorForHost: () => noting({ outcome: "lost" }, host).executor,
    });
    const answer = await operations.getOperation(operationId, undefined, known(told.revision));
    expect(answer.revision).toBeGreaterThan(told.revision);
    expect(answer).toMatchObject({ status: PENDING, freshness: { stale: true } });
    const invented = 2n ** 63n;
    expect((await operations.getOperation(operationId, undefined, invented)).revision).toBe(answer.revision);
  });

  test("one of a type that is no longer served is FAILED and says so", async () => {
    const before = await startTestRegistry({ executors: { training: noting().executor } });
    const { operationId } = await before.operations.createOperation({ operationType: "training" });
    const { operations } = await restarted(before, {});
    expect(await operations.getOperation(operationId)).toMatchObject({
      status: FAILED,
      error: { reason: "PROCESS_RESTARTED", message: expect.stringContaining("no longer serves") },
    });
  });

  test("one that had ended is as it was", async () => {
    const before = await startTestRegistry();
    const { operationId } = await before.operations.createOperation({ operationType: "training" });
    await before.operations.startOperation(operationId);
    await before.operations.completeOperation(operationId, { answer: 42 });
    const ended = await before.operations.getOperation(operationId);
    const { operations } = await restarted(before, {});
    expect(await operations.getOperation(operationId)).toEqual(ended);
  });

  test("one that a host runs is attached again, stale until the host was asked", async () => {
    const host = "http://host.test:1";
    const source = new ScriptedSource(host);
    source.answer = () => observed({ status: RUNNING, progress: { percentage: 20 } });
    const attached = () => noting({ outcome: "attached", source }, host);
    const before = await startTestRegistry({ executors: { training: attached().executor } });
    const { operationId } = await before.operations.createOperation({ operationType: "training" });
    await before.operations.control.accepted(operationId, source);
    const { operations, clock } = await restarted(before, { training: attached().executor });
    source.answer = () => ({ outcome: "unreachable", reason: "connection refused" });
    expect(await operations.getOperation(operationId)).toMatchObject({
      status: RUNNING,
      progress: { percentage: 20 },
      host,
      freshness: { stale: true },
    });
    source.answer = () => observed({ status: COMPLETED });
    clock.nowMs += 2_000;
    expect(await operations.getOperation(operationId)).toMatchObject({
      status: COMPLETED,
      progress: { percentage: 100 },
    });
  });
});
