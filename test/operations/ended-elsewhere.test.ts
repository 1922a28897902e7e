import { create } from "@bufbuild/protobuf";
import { createContextValues, type HandlerContext } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  BatchGetOperationsRequestSchema,
  GetOperationRequestSchema,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { OperationStore } from "../../src/operations/operation-store.ts";
import { createOperationsHandlers } from "../../src/rpc/operations-handlers.ts";
import { refusal, startTestGroup, type TestMember } from "../support/test-group.ts";

const { COMPLETED, PENDING } = OperationStatus;
const ttlMs = 1_000;
const operationId = "op_chosen";

/** A group of two, an operation that ran in the first one and has ended, and what each of them asks the store for. */
async function groupWithEnded() {
  const asked: string[][] = [[], []];
  const started = await startTestGroup({ wrapStore: (store, index) => noted(store, asked[index] ?? []) });
  const [a, b] = started.members as [TestMember, TestMember];
  await a.operations.createOperation({ operationType: "training", operationId });
  await a.operations.startOperation(operationId);
  await a.operations.completeOperation(operationId);
  const { revision } = await b.operations.getOperation(operationId);
  const [byA = [], byB = []] = asked;
  byA.length = 0;
  byB.length = 0;
  const poll = ({ operations }: TestMember, knownRevision = revision) =>
    operations.getOperation(operationId, undefined, knownRevision);
  const pass = (ms: number) => {
    started.clock.nowMs += ms;
  };
  return { a, b, revision, byA, byB, poll, pass };
}

/** A store whose calls are noted. */
function noted(store: OperationStore, calls: string[]): OperationStore {
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      return typeof value !== "function"
        ? value
        : (...args: unknown[]) => {
            calls.push(String(name));
            return value.apply(target, args);
          };
    },
  });
}

describe("an operation that has ended, in a store that others share", () => {
  test("is read once a TTL for those who say which revision they have, however many ask at once", async () => {
    const { a, b, byA, byB, poll, pass } = await groupWithEnded();
    for (const [member, calls] of [
      [a, byA],
      [b, byB],
    ] as const) {
      await Promise.all(Array.from({ length: 100 }, () => poll(member)));
      expect(calls).toEqual([]);
    }
    for (let round = 1; round <= 3; round++) {
      pass(ttlMs + 1);
      for (let turn = 0; turn < 3; turn++) {
        const answers = await Promise.all(Array.from({ length: 100 }, () => poll(b)));
        expect(new Set(answers).size).toBe(1);
        expect(answers[0]).toMatchObject({ status: COMPLETED, freshness: { stale: false } });
        expect(byB).toHaveLength(round);
      }
    }
  });

  test("is answered as not modified, in batches and to waits, too, without touching the store", async () => {
    const { b, revision: knownRevision, byB } = await groupWithEnded();
    const { getOperation, batchGetOperations } = createOperationsHandlers(() => b.operations);
    const context = { values: createContextValues() } as HandlerContext;
    const request = create(GetOperationRequestSchema, { operationId, knownRevision });
    expect(await getOperation(request, context)).toMatchObject({ notModified: true });
    const batch = create(BatchGetOperationsRequestSchema, { operations: [{ operationId, knownRevision }] });
    expect(await batchGetOperations(batch, context)).toMatchObject({ operations: [], notFound: [] });
    const waited = await b.operations.waitOperation(operationId, { knownRevision, untilDone: true, timeoutMs: 20_000 });
    expect(waited.revision).toBe(knownRevision);
    expect(byB).toEqual([]);
  });

  test("is read anew by those who do not, by all of a moment together", async () => {
    const { b, byB } = await groupWithEnded();
    const get = () => b.operations.getOperation(operationId);
    await get();
    await get();
    expect(byB).toEqual(["get", "get"]);
    byB.length = 0;
    await Promise.all(Array.from({ length: 100 }, get));
    expect(byB.length).toBeLessThanOrEqual(2);
    byB.length = 0;
    await Promise.all(Array.from({ length: 100 }, () => b.operations.getOperation(operationId, 0)));
    expect(byB.length).toBeLessThanOrEqual(2);
  });

  test("is as old as a caller allows, but no older than the TTL", async () => {
    const { b, byB, pass } = await groupWithEnded();
    pass(500);
    await b.operations.getOperation(operationId, 500);
    expect(byB).toEqual([]);
    await b.operations.getOperation(operationId, 499);
    expect(byB).toEqual(["get"]);
    pass(ttlMs);
    await b.operations.getOperation(operationId, 3_600_000);
    expect(byB).toEqual(["get"]);
    pass(1);
    await b.operations.getOperation(operationId, 3_600_000);
    expect(byB).toEqual(["get", "get"]);
  });

  test("is gone for pollers within the TTL when another server has deleted it, and at once at that one", async () => {
    const { a, b, revision, poll, pass } = await groupWithEnded();
    await a.operations.deleteOperation(operationId);
    expect(await refusal(poll(a))).toBe("OPERATION_NOT_FOUND");
    pass(ttlMs);
    expect((await poll(b)).revision).toBe(revision);
    pass(1);
    expect(await refusal(poll(b))).toBe("OPERATION_NOT_FOUND");
  });

  test("is gone at once for those who ask what is, and then for pollers, too", async () => {
    const page = { cursor: 0, maxRecords: 10, latest: false };
    const askers: ((member: TestMember) => Promise<unknown>)[] = [
      async ({ operations }) => expect(await refusal(operations.getOperation(operationId))).toBe("OPERATION_NOT_FOUND"),
      async ({ operations }) =>
        expect(await refusal(operations.getMetrics(operationId, page))).toBe("OPERATION_NOT_FOUND"),
      async ({ operations }) => expect(await operations.getOperations([operationId])).toEqual(new Map()),
    ];
    for (const ask of askers) {
      const { a, b, revision, poll } = await groupWithEnded();
      await a.operations.deleteOperation(operationId);
      expect((await poll(b)).revision).toBe(revision);
      await ask(b);
      expect(await refusal(poll(b))).toBe("OPERATION_NOT_FOUND");
    }
  });

  test("is not answered for a new one of the same id to whoever has seen that", async () => {
    const { a, b, poll, pass } = await groupWithEnded();
    await a.operations.deleteOperation(operationId);
    pass(5);
    const again = await a.operations.createOperation({ operationType: "training", operationId });
    expect(await poll(b)).toMatchObject({ status: COMPLETED });
    expect(await poll(b, again.revision)).toMatchObject({ status: PENDING, revision: again.revision });
    expect(await poll(b)).toMatchObject({ status: PENDING });
  });
});
