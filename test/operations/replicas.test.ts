import { describe, expect, test } from "vitest";
import { FreshnessSource, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { BridgeSource } from "../../src/operations/bridge-source.ts";
import type { OperationRun } from "../../src/operations/operation-executor.ts";
import type { OperationsService } from "../../src/operations/operations-service.ts";
import { ProgressBridge } from "../../src/progress/progress-bridge.ts";
import { observed, ScriptedSource } from "../support/scripted-source.ts";
import { refusal, startTestGroup, type TestGroup, type TestMember } from "../support/test-group.ts";

const { PENDING, RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;
const page = { cursor: 0, maxRecords: 100, latest: false };

/** A group of two, and an operation that runs in the first one. */
async function group(options?: Parameters<typeof startTestGroup>[0]) {
  const started = await startTestGroup(options);
  const [a, b] = started.members as [TestMember, TestMember];
  const { operationId } = await a.operations.createOperation({ operationType: "training" });
  await a.operations.startOperation(operationId);
  return { ...started, a, b, operationId };
}

/** The work of an operation in this process, and how often it was cut off. */
async function startedWork(operations: OperationsService, operationId: string) {
  const cutOffs: { reason: string; force: boolean }[] = [];
  let begun: OperationRun | undefined;
  await operations.control.start(operationId, (run) => {
    begun = run;
    const bridge = new ProgressBridge({ operationType: "training", ...run });
    const cancel = (reason: string, force: boolean) => cutOffs.push({ reason, force });
    return new BridgeSource({ attempt: run.attempt, bridge, writer: bridge, cancel });
  });
  return { cutOffs, attempt: begun?.attempt };
}

/** The first server is taken for dead and does not know it; the second takes over. */
async function takeOverFrom({ strikeOff }: TestGroup, a: TestMember, b: TestMember): Promise<void> {
  strikeOff(a.standing.instanceId);
  await b.operations.succession.takeOver();
}

describe("an operation of another server", () => {
  test("is answered as that one knows it, however lately it changed, and exactly as that one answers it", async () => {
    const { a, b, operationId } = await group();
    for (const percentage of [10, 20, 30]) {
      a.operations.updateProgress(operationId, { percentage });
      const atA = await a.operations.getOperation(operationId, 0);
      const atB = await b.operations.getOperation(operationId);
      expect(atB.progress?.percentage).toBe(percentage);
      expect(atB).toEqual(atA);
    }
    await a.operations.completeOperation(operationId, { answer: 42 });
    expect(await b.operations.getOperation(operationId)).toEqual(await a.operations.getOperation(operationId));
  });

  test("is asked for once a TTL by callers who say which revision they have, and once by all who wait", async () => {
    const { a, b, operationId, clock } = await group();
    const { revision } = await b.operations.getOperation(operationId);
    a.pulls.length = 0;
    for (let call = 0; call < 10; call++) {
      await b.operations.getOperation(operationId, undefined, revision);
    }
    expect(a.pulls).toHaveLength(0);
    clock.nowMs += 1_001;
    await Promise.all(Array.from({ length: 100 }, () => b.operations.getOperation(operationId, undefined, revision)));
    expect(a.pulls).toHaveLength(1);
    await Promise.all(Array.from({ length: 100 }, () => b.operations.getOperation(operationId)));
    expect(a.pulls.length).toBeLessThanOrEqual(3);
    a.pulls.length = 0;
    await Promise.all(Array.from({ length: 100 }, () => b.operations.getOperation(operationId, 5_000)));
    expect(a.pulls).toHaveLength(0);
  });

  test("is asked for anew by a caller who knows more than this server", async () => {
    const { a, b, operationId } = await group();
    await b.operations.getOperation(operationId);
    a.operations.updateProgress(operationId, { percentage: 50 });
    const { revision } = await a.operations.getOperation(operationId, 0);
    const atB = await b.operations.getOperation(operationId, 60_000, revision);
    expect(atB).toMatchObject({ revision, progress: { percentage: 50 } });
  });

  test("is in every list as newest known, and in every batch", async () => {
    const { a, b, operationId } = await group();
    a.operations.updateProgress(operationId, { percentage: 50 });
    const newest = await a.operations.getOperation(operationId, 0);
    const filter = { operationTypes: ["training"], statuses: [], parentOperationId: "", labels: {} };
    const listed = await b.operations.listOperations({ $typeName: "longhaul.v1.OperationFilter", ...filter }, 10, "");
    expect(listed.operations).toEqual([newest]);
    const batch = await b.operations.getOperations([operationId, "op_unknown"]);
    expect([...batch]).toEqual([[operationId, newest]]);
  });

  test("has its metrics, without a gap", async () => {
    const { a, b, operationId } = await group();
    const { control } = a.operations;
    const { operationId: other } = await a.operations.createOperation({ operationType: "training" });
    let bridge: ProgressBridge | undefined;
    await control.start(other, (run) => {
      bridge = new ProgressBridge({ operationType: "training", ...run });
      return new BridgeSource({ attempt: run.attempt, bridge, writer: bridge, cancel: () => {} });
    });
    for (let epoch = 1; epoch <= 5; epoch++) {
      bridge?.record("epoch", { epoch });
    }
    const atB = await b.operations.getMetrics(other, page);
    expect(atB.newCursor).toBe(5);
    expect(atB.metrics).toEqual((await a.operations.getMetrics(other, page)).metrics);
    expect((await b.operations.getMetrics(operationId, page)).newCursor).toBe(0);
  });

  test("wakes those who wait for it here", async () => {
    const { a, b, operationId } = await group();
    const { revision: knownRevision } = await b.operations.getOperation(operationId);
    const wait = { knownRevision, timeoutMs: 20_000 };
    const changed = b.operations.waitOperation(operationId, { ...wait, untilDone: false });
    const ended = b.operations.waitOperation(operationId, { ...wait, untilDone: true });
    a.operations.updateProgress(operationId, { percentage: 50 });
    expect((await changed).progress?.percentage).toBe(50);
    await a.operations.completeOperation(operationId);
    expect((await ended).status).toBe(COMPLETED);
  });

  test("is cancelled through this one, and by force", async () => {
    const { a, b, operationId } = await group();
    expect(await b.operations.cancelOperation(operationId, "enough")).toMatchObject({
      status: RUNNING,
      cancellation: { reason: "enough", deliveredAt: expect.anything() },
    });
    expect(a.operations.getCancellationToken(operationId)?.reason).toBe("enough");
    expect(await b.operations.cancelOperation(operationId, "now", { force: true })).toMatchObject({
      status: CANCELLED,
      cancellation: { reason: "enough", forced: true },
    });
    expect((await a.operations.getOperation(operationId)).status).toBe(CANCELLED);
  });

  test("is found by filter, and by its parent, when those are cancelled", async () => {
    const { a, b, operationId } = await group();
    const { operationId: child } = await b.operations.createOperation({
      operationType: "training",
      parentOperationId: operationId,
    });
    await b.operations.startOperation(child);
    await a.operations.cancelOperation(operationId, "with all children");
    expect(b.operations.getCancellationToken(child)?.reason).toBe("with all children");
    expect(
      await refusal(b.operations.createOperation({ operationType: "training", parentOperationId: operationId })),
    ).toBe("PARENT_ENDED");
    const { operationId: another } = await a.operations.createOperation({ operationType: "data_load" });
    await a.operations.startOperation(another);
    const filter = { operationTypes: ["data_load"], statuses: [], parentOperationId: "", labels: {} };
    const cancelled = await b.operations.cancelOperations(
      { $typeName: "longhaul.v1.OperationFilter", ...filter },
      "all",
    );
    expect(cancelled).toEqual([another]);
    expect(a.operations.getCancellationToken(another)?.reason).toBe("all");
  });

  test("is one with what a repeated request names here", async () => {
    const { a, b } = await group();
    const request = { operationType: "training", requestId: "r1" };
    const created = await a.operations.createOperation(request);
    await a.operations.startOperation(created.operationId);
    const again = await b.operations.createOperation(request);
    expect(again).toMatchObject({ operationId: created.operationId, status: RUNNING });
    expect(await refusal(b.operations.createOperation({ ...request, operationName: "other" }))).toBe(
      "REQUEST_ID_REUSED",
    );
  });

  test("that has ended is gone everywhere at once when it is deleted", async () => {
    const { a, b, operationId } = await group();
    await a.operations.completeOperation(operationId);
    expect((await a.operations.getOperation(operationId)).status).toBe(COMPLETED);
    await b.operations.deleteOperation(operationId);
    expect(await refusal(a.operations.getOperation(operationId))).toBe("OPERATION_NOT_FOUND");
  });

  test("is retried here once it has failed there", async () => {
    const { a, b, operationId } = await group();
    await b.operations.getOperation(operationId);
    expect(await refusal(b.operations.retryOperation(operationId))).toBe("OPERATION_NOT_RETRYABLE");
    await a.operations.failOperation(operationId, "no data");
    expect(await b.operations.retryOperation(operationId)).toMatchObject({ attempt: 2, retryOf: operationId });
  });
});

describe("a server that does not answer", () => {
  test("has its operations answered from the store, marked stale, under the revision they have there", async () => {
    const { a, b, operationId } = await group();
    const stored = await b.operations.getOperation(operationId);
    a.operations.updateProgress(operationId, { percentage: 50 });
    const told = await a.operations.getOperation(operationId, 0);
    a.standing.isUnreachable = true;
    const atB = await b.operations.getOperation(operationId);
    expect(atB).toMatchObject({
      revision: stored.revision,
      status: RUNNING,
      freshness: { stale: true, staleReason: "server a does not answer" },
    });
    expect(told.revision).toBeGreaterThan(atB.revision);
    a.standing.isUnreachable = false;
    const back = await b.operations.getOperation(operationId);
    expect(back).toMatchObject({ revision: told.revision, freshness: { stale: false } });
  });

  test("finds what it was asked to cancel when it looks, and nobody takes that back", async () => {
    const { a, b, operationId } = await group();
    a.operations.updateProgress(operationId, { percentage: 50 });
    const before = await a.operations.getOperation(operationId, 0);
    a.standing.isUnreachable = true;
    const requested = await b.operations.cancelOperation(operationId, "enough");
    expect(requested).toMatchObject({
      status: RUNNING,
      cancellation: { reason: "enough" },
      freshness: { stale: true },
    });
    expect(requested.cancellation?.deliveredAt).toBeUndefined();
    a.standing.isUnreachable = false;
    expect(await b.operations.getOperation(operationId)).toMatchObject({
      progress: { percentage: 50 },
      cancellation: { reason: "enough" },
    });
    await a.operations.succession.takeRequests();
    await expect.poll(() => a.operations.getCancellationToken(operationId)?.reason).toBe("enough");
    const after = await a.operations.getOperation(operationId);
    expect(after).toMatchObject({ progress: { percentage: 50 }, cancellation: { reason: "enough" } });
    expect(after.revision).toBeGreaterThan(before.revision);
    expect(after.revision).toBeGreaterThan(requested.revision);
    expect(await b.operations.getOperation(operationId)).toEqual(after);
  });

  test("learns of the cancellation with its next write, too", async () => {
    const { a, b, operationId, store } = await group();
    a.standing.isUnreachable = true;
    await b.operations.cancelOperation(operationId, "enough");
    await a.operations.completeOperation(operationId);
    const ended = await store.get(operationId);
    expect(ended?.info).toMatchObject({ status: COMPLETED, cancellation: { reason: "enough" } });
  });

  test("tells its work of the cancellation that saving its progress has found", async () => {
    const { a, b } = await group();
    const { operationId } = await a.operations.createOperation({ operationType: "training" });
    const { cutOffs } = await startedWork(a.operations, operationId);
    a.standing.isUnreachable = true;
    await b.operations.cancelOperation(operationId, "enough");
    a.standing.isUnreachable = false;
    a.operations.updateProgress(operationId, { percentage: 50 });
    await a.operations.getOperation(operationId, 0);
    await a.operations.sweep();
    await expect.poll(() => cutOffs).toEqual([{ reason: "enough", force: false }]);
    expect(await b.operations.getOperation(operationId, 0)).toMatchObject({
      progress: { percentage: 50 },
      cancellation: { reason: "enough", deliveredAt: expect.anything() },
    });
  });

  test("does not begin what was to be cancelled before", async () => {
    const { a, b } = await group();
    const { operationId } = await a.operations.createOperation({ operationType: "training" });
    a.standing.isUnreachable = true;
    expect((await b.operations.cancelOperation(operationId, "not needed")).status).toBe(PENDING);
    const { attempt } = await startedWork(a.operations, operationId);
    expect(attempt).toBe(1);
    expect(await a.operations.getOperation(operationId)).toMatchObject({
      status: CANCELLED,
      cancellation: { reason: "not needed", forced: false },
    });
  });

  test("cuts off what was cancelled by force when it looks", async () => {
    const { a, b, store } = await group();
    const { operationId } = await a.operations.createOperation({ operationType: "training" });
    const { cutOffs } = await startedWork(a.operations, operationId);
    a.standing.isUnreachable = true;
    expect(await b.operations.cancelOperation(operationId, "at once", { force: true })).toMatchObject({
      status: CANCELLED,
      cancellation: { forced: true },
    });
    expect((await store.get(operationId))?.owner).toBe("a");
    await a.operations.succession.takeRequests();
    await expect.poll(() => cutOffs).toEqual([{ reason: "at once", force: true }]);
    await expect.poll(async () => (await store.get(operationId))?.owner).toBe("");
    await a.operations.completeOperation(operationId);
    expect((await b.operations.getOperation(operationId)).status).toBe(CANCELLED);
  });
});

describe("a server that was taken for dead", () => {
  test("loses what ran in it, which is settled once, and those who wait elsewhere are told", async () => {
    const started = await group();
    const { a, b, operationId } = started;
    const wait = { knownRevision: 0n, untilDone: true, timeoutMs: 20_000 };
    const waiting = b.operations.waitOperation(operationId, wait);
    a.standing.isUnreachable = true;
    await takeOverFrom(started, a, b);
    const settled = await b.operations.getOperation(operationId);
    expect(settled).toMatchObject({ status: FAILED, error: { reason: "PROCESS_RESTARTED" } });
    expect(await waiting).toEqual(settled);
  });

  test("changes nothing any more when it wakes up, and cuts its work off", async () => {
    const started = await group();
    const { a, b, store } = started;
    const { operationId } = await a.operations.createOperation({ operationType: "training" });
    const { cutOffs } = await startedWork(a.operations, operationId);
    const waiting = a.operations.waitOperation(operationId, { knownRevision: 0n, untilDone: true, timeoutMs: 20_000 });
    await takeOverFrom(started, a, b);
    const settled = await store.get(operationId);
    expect(settled?.info.status).toBe(FAILED);

    a.operations.updateProgress(operationId, { percentage: 90 });
    await a.operations.sweep();
    await a.operations.completeOperation(operationId, { answer: 42 });
    expect(await store.get(operationId)).toEqual(settled);
    expect(cutOffs).toEqual([{ reason: expect.stringContaining("taken for dead"), force: true }]);
    expect(await a.operations.getOperation(operationId)).toEqual(settled?.info);
    expect(await waiting).toEqual(settled?.info);
    expect(a.operations.getCancellationToken(operationId)).toBeUndefined();
  });

  test("adds no metric record to the log of whoever runs the operation now", async () => {
    const started = await group({ executors: () => ({ training: restartable() }) });
    const { a, b, store } = started;
    const { operationId } = await a.operations.createOperation({ operationType: "training" });
    let late: ProgressBridge | undefined;
    await a.operations.control.start(operationId, (run) => {
      late = new ProgressBridge({ operationType: "training", ...run });
      return new BridgeSource({ attempt: run.attempt, bridge: late, writer: late, cancel: () => {} });
    });
    late?.record("epoch", { epoch: 1 });
    await a.operations.getMetrics(operationId, page);
    await takeOverFrom(started, a, b);
    await startedWork(b.operations, operationId);
    late?.record("epoch", { epoch: 2 });
    started.clock.nowMs += 3_600_000;
    await a.operations.sweep();
    expect((await store.metricsLog(operationId)).cursor).toBe(1);
    expect(await b.operations.getOperation(operationId)).toMatchObject({ attempt: 2, status: RUNNING });
    expect(await a.operations.getOperation(operationId)).toMatchObject({ attempt: 2, status: RUNNING });
  });

  test("has what is to be run again marked stale until it is, and under no revision older than one it has given", async () => {
    const started = await group({ executors: () => ({ training: restartable() }) });
    const { a, b, clock } = started;
    const { operationId } = await a.operations.createOperation({ operationType: "training" });
    await startedWork(a.operations, operationId);
    clock.nowMs += 1_000;
    a.operations.updateProgress(operationId, { percentage: 40 });
    const told = await a.operations.getOperation(operationId, 0);
    clock.nowMs += 1_000;
    await takeOverFrom(started, a, b);
    const waiting = await b.operations.getOperation(operationId);
    expect(waiting).toMatchObject({
      status: RUNNING,
      attempt: 1,
      freshness: { stale: true, staleReason: "it waits to be run again" },
    });
    expect(waiting.revision).toBeGreaterThan(told.revision);
    await startedWork(b.operations, operationId);
    const again = await b.operations.getOperation(operationId);
    expect(again).toMatchObject({ status: RUNNING, attempt: 2, freshness: { stale: false } });
    expect(again.revision).toBeGreaterThan(waiting.revision);
  });

  test("does not answer from memory before it has made sure", async () => {
    const started = await group();
    const { a, b, operationId } = started;
    await takeOverFrom(started, a, b);
    a.standing.isSure = false;
    a.standing.onConfirm = () => {
      a.operations.abandon();
      a.standing.instanceId = "a2";
      a.standing.isSure = true;
    };
    expect(await a.operations.getOperation(operationId)).toMatchObject({ status: FAILED, freshness: { stale: false } });
  });

  test("answers what it knows as stale while it cannot make sure, and observes nothing", async () => {
    const { a, operationId } = await group();
    const before = await a.operations.getOperation(operationId);
    a.standing.isSure = false;
    a.operations.updateProgress(operationId, { percentage: 50 });
    expect(await a.operations.getOperation(operationId, 0)).toMatchObject({
      revision: before.revision,
      progress: { percentage: 0 },
      freshness: { stale: true, staleReason: expect.stringContaining("the store cannot be used") },
    });
    a.standing.isSure = true;
    expect(await a.operations.getOperation(operationId, 0)).toMatchObject({
      progress: { percentage: 50 },
      freshness: { stale: false },
    });
  });

  test("makes sure when a caller knows more than it", async () => {
    const started = await group();
    const { a, b, operationId, clock } = started;
    clock.nowMs += 1_000;
    await takeOverFrom(started, a, b);
    const { revision } = await b.operations.getOperation(operationId);
    a.standing.onConfirm = () => a.operations.abandon();
    expect((await a.operations.getOperation(operationId, undefined, revision)).revision).toBe(revision);
  });

  test("has its operations on hosts attached, and what it had not begun begun, by one other", async () => {
    const host = new ScriptedSource();
    host.answer = () => observed({ status: RUNNING });
    const dispatched: string[] = [];
    const executor = (index: number) => ({
      training: {
        host: host.host,
        dispatch: ({ info }: { info: { operationId: string } }) =>
          dispatched.push(`${"abc"[index]} ${info.operationId}`),
        withdraw: () => true,
        recover: () => ({ outcome: "attached" as const, source: host }),
      },
    });
    const started = await startTestGroup({ size: 3, executors: executor, executorForHost: () => executor(1).training });
    const [a, b, c] = started.members as [TestMember, TestMember, TestMember];
    const { operationId: accepted } = await a.operations.createOperation({ operationType: "training" });
    await a.operations.control.accepted(accepted, host);
    const { operationId: waiting } = await a.operations.createOperation({ operationType: "training" });
    dispatched.length = 0;
    started.strikeOff("a");
    await Promise.all([b.operations.succession.takeOver(), c.operations.succession.takeOver()]);
    expect(dispatched).toHaveLength(1);
    expect(dispatched[0]).toContain(waiting);
    const [first, second] = await Promise.all([accepted, waiting].map((id) => started.store.get(id)));
    expect(["b", "c"]).toContain(first?.owner);
    expect(["b", "c"]).toContain(second?.owner);
    for (const { operations } of [b, c]) {
      expect(await operations.getOperation(accepted)).toMatchObject({
        status: RUNNING,
        freshness: { stale: false, source: FreshnessSource.HOST },
      });
    }
  });

  test("leaves its creates to whoever follows it", async () => {
    const { a, b, store, strikeOff } = await group({
      wrapStore: (store, index) => (index === 0 ? renamedWhileCreating(store, () => a) : store),
    });
    const created = await a.operations.createOperation({ operationType: "training" });
    expect(created.status).toBe(PENDING);
    expect(await refusal(a.operations.startOperation(created.operationId))).toBe("ILLEGAL_TRANSITION");
    strikeOff("a");
    await b.operations.succession.takeOver();
    expect((await store.get(created.operationId))?.owner).toBe("b");
  });
});

/** An executor of operations that are run again after their server was lost; a test begins them. */
function restartable() {
  return {
    host: "",
    dispatch: () => {},
    withdraw: () => true,
    recover: () => ({ outcome: "restartable" as const }),
  };
}

/** A store whose server is taken for dead while it creates its second operation. */
function renamedWhileCreating(
  store: Parameters<NonNullable<NonNullable<Parameters<typeof startTestGroup>[0]>["wrapStore"]>>[0],
  member: () => TestMember,
) {
  let creates = 0;
  return new Proxy(store, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (key === "create") {
        return async (...args: Parameters<typeof store.create>) => {
          const outcome = await store.create(...args);
          creates += 1;
          if (creates === 2) {
            member().standing.instanceId = "a2";
          }
          return outcome;
        };
      }
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
