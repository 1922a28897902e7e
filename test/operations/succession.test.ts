import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { BridgeSource } from "../../src/operations/bridge-source.ts";
import { CallError } from "../../src/operations/errors.ts";
import type { OperationExecutor } from "../../src/operations/operation-executor.ts";
import type { OperationStore } from "../../src/operations/operation-store.ts";
import { ProgressBridge } from "../../src/progress/progress-bridge.ts";
import { refusal, startTestGroup, type TestMember } from "../support/test-group.ts";
import { startTestRegistry } from "../support/test-registry.ts";

const { PENDING, RUNNING, FAILED } = OperationStatus;

/** A store that does what it is asked and then loses its answer, for the methods named in `losing`. */
function losingAnswers(losing: Set<string>) {
  return (store: OperationStore): OperationStore =>
    new Proxy(store, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== "function") {
          return value;
        }
        return async (...args: unknown[]) => {
          const answer = await value.apply(target, args);
          if (losing.has(String(key))) {
            throw new CallError("STORE_UNAVAILABLE", "the answer was lost", { mayBeDone: true });
          }
          return answer;
        };
      },
    });
}

/** An executor that notes what it is given. */
function noting() {
  const dispatched: string[] = [];
  const executor: OperationExecutor = {
    host: "",
    dispatch: ({ info }) => dispatched.push(info.operationId),
    withdraw: () => true,
    recover: () => ({ outcome: "lost" }),
  };
  return { executor, dispatched };
}

describe("a create whose answer from the store was lost", () => {
  async function created() {
    const losing = new Set(["create"]);
    const { executor, dispatched } = noting();
    const registry = await startTestRegistry({ executors: { training: executor }, wrapStore: losingAnswers(losing) });
    const request = { operationType: "training", operationId: "op_mine", requestId: "r1" };
    expect(await refusal(registry.operations.createOperation(request))).toBe("STORE_UNAVAILABLE");
    expect(dispatched).toEqual([]);
    losing.clear();
    return { ...registry, dispatched, request };
  }

  test("is one with its repetition, and begins once", async () => {
    const { operations, dispatched, request } = await created();
    const again = await operations.createOperation(request);
    expect(again).toMatchObject({ operationId: "op_mine", status: PENDING });
    await operations.createOperation(request);
    await operations.succession.takeRequests();
    await operations.sweep();
    expect(dispatched).toEqual(["op_mine"]);
  });

  test("begins also when nobody repeats it", async () => {
    const { operations, dispatched } = await created();
    await operations.sweep();
    await operations.sweep();
    expect(dispatched).toEqual(["op_mine"]);
    expect((await operations.getOperation("op_mine")).status).toBe(PENDING);
  });

  test("begins once when it is found by several at the same moment", async () => {
    const { operations, dispatched, request } = await created();
    await Promise.all([
      operations.getOperation("op_mine"),
      operations.createOperation(request),
      operations.succession.takeRequests(),
      operations.sweep(),
      operations.getOperations(["op_mine"]),
    ]);
    expect(dispatched).toEqual(["op_mine"]);
  });
});

test("a change whose answer from the store was lost is not made twice, and is answered once it is known", async () => {
  const losing = new Set<string>();
  const { operations, store } = await startTestRegistry({ wrapStore: losingAnswers(losing) });
  const { operationId } = await operations.createOperation({ operationType: "training" });
  await operations.startOperation(operationId);
  losing.add("replace");
  expect(await refusal(operations.cancelOperation(operationId, "enough"))).toBe("STORE_UNAVAILABLE");
  losing.clear();
  const written = await store.get(operationId);
  expect(written?.info.cancellation?.reason).toBe("enough");
  // Others may have seen it in the store by now.
  const known = await operations.getOperation(operationId);
  expect(known.cancellation?.reason).toBe("enough");
  expect(known.revision).toBeGreaterThanOrEqual(written?.info.revision ?? 0n);
  await expect.poll(() => operations.getCancellationToken(operationId)?.reason).toBe("enough");
  const again = await operations.cancelOperation(operationId, "another reason");
  expect(again).toMatchObject({ status: RUNNING, cancellation: { reason: "enough" } });
});

test("metric records whose append was not answered are in the log once", async () => {
  const losing = new Set<string>();
  const { operations, store } = await startTestRegistry({
    wrapStore: losingAnswers(losing),
    options: { cacheTtlMs: 0 },
  });
  const { operationId } = await operations.createOperation({ operationType: "training" });
  let bridge: ProgressBridge | undefined;
  await operations.control.start(operationId, (run) => {
    bridge = new ProgressBridge({ operationType: "training", ...run });
    return new BridgeSource({ attempt: run.attempt, bridge, writer: bridge, cancel: () => {} });
  });
  const read = () => operations.getMetrics(operationId, { cursor: 0, maxRecords: 9, latest: false });
  bridge?.record("epoch", { epoch: 1 });
  bridge?.record("epoch", { epoch: 2 });
  losing.add("appendMetrics");
  // Of what is not known to be stored nobody is told.
  expect((await read()).newCursor).toBe(0);
  expect((await store.metricsLog(operationId)).cursor).toBe(2);
  losing.clear();
  bridge?.record("epoch", { epoch: 3 });
  expect((await read()).metrics.metrics.value).toMatchObject({
    epochs: [
      { sequence: 1n, epoch: 1 },
      { sequence: 2n, epoch: 2 },
      { sequence: 3n, epoch: 3 },
    ],
    trends: { epochCount: 3n },
  });
  await operations.completeOperation(operationId);
  expect((await operations.getOperation(operationId)).metricsCursor).toBe(3n);
});

describe("operations of a server that is gone", () => {
  test("are taken over although the answer to the claim was lost", async () => {
    const losing = new Set<string>();
    const started = await startTestGroup({
      wrapStore: (store, index) => (index === 1 ? losingAnswers(losing)(store) : store),
    });
    const [a, b] = started.members as [TestMember, TestMember];
    const { operationId } = await a.operations.createOperation({ operationType: "training" });
    await a.operations.startOperation(operationId);
    started.strikeOff("a");
    losing.add("claim");
    expect(await refusal(b.operations.succession.takeOver())).toBe("STORE_UNAVAILABLE");
    expect((await started.store.get(operationId))?.info.status).toBe(RUNNING);
    losing.clear();
    await b.operations.succession.takeRequests();
    expect((await started.store.get(operationId))?.info).toMatchObject({
      status: FAILED,
      error: { reason: "PROCESS_RESTARTED" },
    });
  });
});

test("what has expired is removed by one of the servers", async () => {
  const { members, clock, store } = await startTestGroup();
  const [a, b] = members as [TestMember, TestMember];
  (b.standing as { isFirst: boolean }).isFirst = false;
  const { operationId } = await b.operations.createOperation({ operationType: "training" });
  await b.operations.startOperation(operationId);
  await b.operations.completeOperation(operationId);
  clock.nowMs += 25 * 3_600_000;
  await b.operations.sweep();
  expect(await store.get(operationId)).toBeDefined();
  await a.operations.sweep();
  expect(await store.get(operationId)).toBeUndefined();
  expect(await refusal(b.operations.getOperation(operationId))).toBe("OPERATION_EXPIRED");
});
