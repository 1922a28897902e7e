import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { OperationFilterSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { CallerAccess, type Grant } from "../../src/access/caller-access.ts";
import { createOperationsFor } from "../../src/access/operations-for.ts";
import type { OperationStore } from "../../src/operations/operation-store.ts";
import { startTestGroup } from "../support/test-group.ts";

/** A registry, how often its store was read since `reads` was emptied, and operations that have ended. */
async function startRegistry() {
  const reads: string[] = [];
  const counted = (store: OperationStore): OperationStore =>
    new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        return (...args: unknown[]) => {
          reads.push(String(name));
          return member.apply(target, args) as unknown;
        };
      },
    });
  const { members } = await startTestGroup({ size: 1, wrapStore: counted });
  const operations = members[0]?.operations;
  if (!operations) throw new Error("there is no registry");
  const ids: string[] = [];
  for (let index = 0; index < 20; index++) {
    const labels = { tenant: index % 2 === 0 ? "a" : "b" };
    const { operationId } = await operations.createOperation({ operationType: "training", labels });
    await operations.startOperation(operationId);
    await operations.completeOperation(operationId);
    ids.push(operationId);
  }
  reads.length = 0;
  return { operations, ids, reads };
}

const access = (...grants: Grant[]) => new CallerAccess("ada", grants);

test("a batch of many operations is looked up in the store at once, and read at once", async () => {
  const { operations, ids, reads } = await startRegistry();
  const view = createOperationsFor(operations, true)(access({ role: "viewer", labels: [["tenant", "a"]] }));
  expect((await view.getOperations(ids)).size).toBe(10);
  expect(reads).toEqual(["getMany", "getMany"]);
});

test("a caller whose role is for everything costs no look", async () => {
  const { operations, ids, reads } = await startRegistry();
  const view = createOperationsFor(operations, true)(access({ role: "viewer" }));
  await view.getOperation(ids[0] ?? "");
  expect((await view.getOperations(ids)).size).toBe(20);
  await view.listOperations(create(OperationFilterSchema), 10, "");
  expect(reads).toEqual(["get", "getMany", "list"]);
});

test("an admin of everything, and everybody where nobody is asked, gets the registry itself", async () => {
  const { operations } = await startRegistry();
  expect(createOperationsFor(operations, true)(access({ role: "admin" }))).toBe(operations);
  expect(createOperationsFor(operations, false)(undefined)).toBe(operations);
});

test("a call that nobody has looked at gets nothing where callers are asked", async () => {
  const { operations } = await startRegistry();
  expect(() => createOperationsFor(operations, true)(undefined)).toThrow("nobody has asked who makes the call");
});
