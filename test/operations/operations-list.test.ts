import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { OperationFilterSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { allOf, anyOf } from "../../src/operations/operation-condition.ts";
import type { OperationsService } from "../../src/operations/operations-service.ts";
import { clockBeginsMs, startTestRegistry } from "../support/test-registry.ts";

const { PENDING, RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;

type Filter = MessageInitShape<typeof OperationFilterSchema>;

/** 60 operations, some of them created in the same millisecond; `ids` is oldest first. */
async function sixtyOperations() {
  const registry = await startTestRegistry();
  const { operations, clock } = registry;
  const ids: string[] = [];
  for (let index = 0; index < 60; index++) {
    clock.nowMs = clockBeginsMs + Math.floor(index / 4) * 1_000;
    const { operationId } = await operations.createOperation({
      operationType: index % 3 === 0 ? "data_load" : "training",
      labels: { team: index % 2 === 0 ? "red" : "blue", ...(index < 10 && { early: "yes" }) },
      ...(index > 50 && { parentOperationId: ids[1] ?? "" }),
    });
    ids.push(operationId);
    if (index % 5 === 2) {
      await operations.startOperation(operationId);
    } else if (index % 5 === 3) {
      await operations.cancelOperation(operationId, "no");
    } else if (index % 5 === 4) {
      await operations.startOperation(operationId);
      await (index % 2 === 0 ? operations.completeOperation(operationId) : operations.failOperation(operationId, "no"));
    }
  }
  return { ...registry, ids };
}

async function listAll(operations: OperationsService, filter: Filter, pageSize: number): Promise<string[]> {
  const ids: string[] = [];
  for (let token = ""; ; ) {
    const page = await operations.listOperations(create(OperationFilterSchema, filter), pageSize, token);
    expect(page.operations.length).toBeLessThanOrEqual(pageSize);
    ids.push(...page.operations.map(({ operationId }) => operationId));
    if (page.nextPageToken === "") {
      return ids;
    }
    expect(page.operations).toHaveLength(pageSize);
    token = page.nextPageToken;
  }
}

test("pages of any size answer every operation once, newest first, whatever the filter", async () => {
  const { operations, ids } = await sixtyOperations();
  const all = await Promise.all(ids.map((id) => operations.getOperation(id)));
  const ms = (index: number) => clockBeginsMs + index * 1_000;
  const filters: [Filter, (index: number) => boolean][] = [
    [{}, () => true],
    [{ operationTypes: ["data_load"] }, (index) => index % 3 === 0],
    [{ operationTypes: ["data_load", "training"] }, () => true],
    [{ operationTypes: ["backtesting"] }, () => false],
    [{ statuses: [PENDING] }, (index) => index % 5 < 2],
    [{ statuses: [RUNNING, CANCELLED] }, (index) => index % 5 === 2 || index % 5 === 3],
    [{ statuses: [COMPLETED] }, (index) => index % 10 === 4],
    [{ statuses: [FAILED] }, (index) => index % 10 === 9],
    [{ parentOperationId: ids[1] ?? "" }, (index) => index > 50],
    [{ parentOperationId: "op_nobody" }, () => false],
    [{ labels: { team: "red" } }, (index) => index % 2 === 0],
    [{ labels: { team: "red", early: "yes" } }, (index) => index % 2 === 0 && index < 10],
    [{ labels: { team: "green" } }, () => false],
    [{ createdAfter: timestampFromMs(ms(3)) }, (index) => index >= 12],
    [{ createdBefore: timestampFromMs(ms(3)) }, (index) => index < 12],
    [
      { createdAfter: timestampFromMs(ms(2)), createdBefore: timestampFromMs(ms(4)) },
      (index) => index >= 8 && index < 16,
    ],
    [
      {
        operationTypes: ["training"],
        statuses: [PENDING],
        labels: { team: "blue" },
        createdAfter: timestampFromMs(ms(1)),
      },
      (index) => index % 3 !== 0 && index % 5 < 2 && index % 2 === 1 && index >= 4,
    ],
  ];
  const newestFirst = (a: number, b: number) => {
    const [left, right] = [all[a], all[b]];
    const byTime = Math.floor(b / 4) - Math.floor(a / 4);
    return byTime || ((left?.operationId ?? "") < (right?.operationId ?? "") ? 1 : -1);
  };
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...filters), fc.integer({ min: 1, max: 70 }), async ([filter, matches], size) => {
      const expected = ids.flatMap((_, index) => (matches(index) ? [index] : [])).sort(newestFirst);
      expect(await listAll(operations, filter, size)).toEqual(expected.map((index) => ids[index]));
      const counts = await operations.countOperations(create(OperationFilterSchema, filter));
      expect(counts.reduce((sum, { count }) => sum + count, 0)).toBe(expected.length);
    }),
    { numRuns: 80 },
  );
});

test("a list is not disturbed by operations that are created or change their status while it is read", async () => {
  const { operations, ids, clock } = await sixtyOperations();
  const filter = create(OperationFilterSchema);
  const first = await operations.listOperations(filter, 20, "");
  clock.nowMs += 60_000;
  await operations.createOperation({ operationType: "training" });
  for (const id of ids.slice(0, 40)) {
    await operations.cancelOperation(id, "no", { force: true });
  }
  const rest: string[] = [];
  for (let token = first.nextPageToken; token !== ""; ) {
    const page = await operations.listOperations(filter, 20, token);
    rest.push(...page.operations.map(({ operationId }) => operationId));
    token = page.nextPageToken;
  }
  expect(new Set([...first.operations.map(({ operationId }) => operationId), ...rest])).toEqual(new Set(ids));
  expect(rest).toHaveLength(40);
});

test("a list shows the newest known progress", async () => {
  const { operations } = await startTestRegistry({ options: { cacheTtlMs: 0 } });
  const { operationId } = await operations.createOperation({ operationType: "training" });
  await operations.startOperation(operationId);
  operations.updateProgress(operationId, { percentage: 33 });
  await operations.getOperation(operationId);
  const { operations: listed } = await operations.listOperations(create(OperationFilterSchema), 10, "");
  expect(listed).toMatchObject([{ operationId, progress: { percentage: 33 } }]);
});

test("a token of another filter is refused", async () => {
  const { operations } = await sixtyOperations();
  const { nextPageToken } = await operations.listOperations(create(OperationFilterSchema), 10, "");
  const other = create(OperationFilterSchema, { statuses: [PENDING] });
  await expect(operations.listOperations(other, 10, nextPageToken)).rejects.toMatchObject({
    reason: "INVALID_PAGE_TOKEN",
  });
});

/** Operations of the red team, and trainings of anybody's that are early. */
const redOrEarlyTraining = anyOf([
  { kind: "text", field: { label: "team" }, oneOf: ["red"] },
  allOf([
    { kind: "text", field: "operation_type", oneOf: ["training"] },
    { kind: "set", field: { label: "early" } },
  ]),
]);
const isRedOrEarlyTraining = (index: number) => index % 2 === 0 || (index % 3 !== 0 && index < 10);

test("a condition narrows lists and counts, and its tokens are of no use without it", async () => {
  const { operations, ids } = await sixtyOperations();
  const filter = create(OperationFilterSchema, { statuses: [PENDING] });
  const expected = ids.filter((_, index) => index % 5 < 2 && isRedOrEarlyTraining(index));
  const first = await operations.listOperations(filter, 5, "", redOrEarlyTraining);
  const second = await operations.listOperations(filter, 50, first.nextPageToken, redOrEarlyTraining);
  const listed = [...first.operations, ...second.operations].map(({ operationId }) => operationId);
  expect(listed.toSorted()).toEqual(expected.toSorted());
  const counts = await operations.countOperations(filter, redOrEarlyTraining);
  expect(counts.reduce((sum, { count }) => sum + count, 0)).toBe(expected.length);
  await expect(operations.listOperations(filter, 50, first.nextPageToken)).rejects.toMatchObject({
    reason: "INVALID_PAGE_TOKEN",
  });
});

test("counts are by status and type", async () => {
  const { operations } = await sixtyOperations();
  const counts = await operations.countOperations(create(OperationFilterSchema, { statuses: [PENDING, COMPLETED] }));
  const byStatus = (status: OperationStatus) =>
    Object.fromEntries(counts.filter((one) => one.status === status).map((one) => [one.operationType, one.count]));
  expect(byStatus(PENDING)).toEqual({ data_load: 8, training: 16 });
  expect(byStatus(COMPLETED)).toEqual({ data_load: 2, training: 4 });
});

describe("cancelling by filter", () => {
  test("asks every operation that matches and has not ended, and answers which, newest first", async () => {
    const { operations, ids } = await sixtyOperations();
    const filter = create(OperationFilterSchema, { operationTypes: ["data_load"] });
    const asked = await operations.cancelOperations(filter, "maintenance");
    const expected = ids.filter((_, index) => index % 3 === 0 && index % 5 < 3);
    expect(new Set(asked)).toEqual(new Set(expected));
    expect(asked).toHaveLength(expected.length);
    for (const [index, id] of ids.entries()) {
      const { status, cancellation } = await operations.getOperation(id);
      if (expected.includes(id)) {
        expect(cancellation?.reason).toBe("maintenance");
        expect(status).toBe(index % 5 === 2 ? RUNNING : CANCELLED);
      } else {
        expect(cancellation?.reason).not.toBe("maintenance");
      }
    }
    const created = await Promise.all(asked.map((id) => operations.getOperation(id)));
    const times = created.map(({ createdAt }) => Number(createdAt?.seconds));
    expect(times).toEqual([...times].sort((a, b) => b - a));
  });

  test("passes over what the condition does not hold for", async () => {
    const { operations, ids } = await sixtyOperations();
    const filter = create(OperationFilterSchema, { statuses: [PENDING, RUNNING] });
    const asked = await operations.cancelOperations(filter, "maintenance", redOrEarlyTraining);
    const expected = ids.filter((_, index) => index % 5 < 3 && isRedOrEarlyTraining(index));
    expect(asked.toSorted()).toEqual(expected.toSorted());
  });

  test("of terminal statuses asks nobody", async () => {
    const { operations } = await sixtyOperations();
    const filter = create(OperationFilterSchema, { statuses: [COMPLETED, FAILED] });
    expect(await operations.cancelOperations(filter, "maintenance")).toEqual([]);
  });
});
