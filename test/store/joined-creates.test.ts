import { expect, test } from "vitest";
import { joinedCreates } from "../../src/store/joined-creates.ts";
import { type CreatedRow, type NewRow, newRow } from "../../src/store/operation-creation.ts";
import { rowFromOperation } from "../../src/store/operation-rows.ts";
import { operation } from "./store-fixture.ts";

interface Transaction {
  readonly ids: readonly string[];
  commit(): void;
  fail(error: Error): void;
}

function rowOf(id: string): NewRow {
  return newRow(rowFromOperation(operation(id)), {});
}

/** What a store is to each of its creates: the outcome tells whose it is. */
function outcomeOf(id: string): CreatedRow {
  return { created: false, conflict: "operation_id", existing: rowOf(id).row };
}

/** Creates in transactions that end when the test says so. */
function heldCreates(failsAll: (error: unknown) => boolean = () => false) {
  const transactions: Transaction[] = [];
  const answered: string[] = [];
  const create = joinedCreates((rows) => {
    const { promise, resolve, reject } = Promise.withResolvers<CreatedRow[]>();
    const ids = rows.map(({ row }) => row.operation_id);
    transactions.push({ ids, commit: () => resolve(ids.map(outcomeOf)), fail: reject });
    return promise;
  }, failsAll);
  const createOne = async (id: string) => {
    const outcome = await create(rowOf(id));
    answered.push(id);
    return outcome;
  };
  return { transactions, answered, createOne };
}

/** Lets everything go on that waits for nothing else. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

test("creates go at once while few are under way, and later ones together", async () => {
  const { transactions, answered, createOne } = heldCreates();
  const ids = ["a", "b", "c", "d", "e"];
  const outcomes = Promise.all(ids.map(createOne));
  expect(transactions.map((transaction) => transaction.ids)).toEqual([["a"], ["b"]]);
  transactions[1]?.commit();
  await settled();
  expect(answered).toEqual(["b"]);
  expect(transactions[2]?.ids).toEqual(["c", "d", "e"]);
  transactions[2]?.commit();
  await settled();
  expect(answered).toEqual(["b", "c", "d", "e"]);
  transactions[0]?.commit();
  expect(await outcomes).toEqual(ids.map(outcomeOf));
});

test("one transaction has no more than 64 creates", async () => {
  const { transactions, createOne } = heldCreates();
  const ids = Array.from({ length: 100 }, (_, index) => `op_${index}`);
  const outcomes = Promise.all(ids.map(createOne));
  for (let next = 0; next < 4; next++) {
    transactions[next]?.commit();
    await settled();
  }
  expect(transactions.map((transaction) => transaction.ids.length)).toEqual([1, 1, 64, 34]);
  expect(await outcomes).toEqual(ids.map(outcomeOf));
});

test("a create that fails takes no other with it", async () => {
  const { transactions, createOne } = heldCreates();
  const outcomes = Promise.allSettled(["a", "b", "c", "bad", "e"].map(createOne));
  for (let next = 0; next < 6; next++) {
    const transaction = transactions[next];
    if (transaction?.ids.includes("bad")) {
      transaction.fail(new Error("too large"));
    } else {
      transaction?.commit();
    }
    await settled();
  }
  expect(transactions.map((transaction) => transaction.ids)).toEqual([
    ["a"],
    ["b"],
    ["c", "bad", "e"],
    ["c"],
    ["bad"],
    ["e"],
  ]);
  expect((await outcomes).map(({ status }) => status)).toEqual([
    "fulfilled",
    "fulfilled",
    "fulfilled",
    "rejected",
    "fulfilled",
  ]);
});

test("what every create would meet fails all of a transaction at once, and none that come later", async () => {
  const { transactions, createOne } = heldCreates(() => true);
  const outcomes = Promise.allSettled(["a", "b", "c", "d"].map(createOne));
  transactions[0]?.commit();
  await settled();
  transactions[2]?.fail(new Error("the disk is full"));
  transactions[1]?.commit();
  expect((await outcomes).map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "rejected"]);
  expect(transactions).toHaveLength(3);
  const later = createOne("e");
  transactions[3]?.commit();
  expect(await later).toEqual(outcomeOf("e"));
});
