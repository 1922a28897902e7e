import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { joinedWrites } from "../../src/store/joined-writes.ts";

interface Transaction {
  readonly given: readonly string[];
  readonly rows: number;
  commit(): void;
  fail(error: Error): void;
}

/** Writes in transactions that end when the test says so. A write is a name, touches a hundred rows and answers "NAME". */
function heldWrites(failsAll: (error: unknown) => boolean = () => false) {
  const transactions: Transaction[] = [];
  const answered: string[] = [];
  const write = joinedWrites<string, string>({
    runAll: (rows, given) => {
      const { promise, resolve, reject } = Promise.withResolvers<string[]>();
      const commit = () => resolve(given.map((name) => name.toUpperCase()));
      transactions.push({ given, rows, commit, fail: reject });
      return promise;
    },
    rowsOf: () => 100,
    atOnce: 2,
    failsAll,
  });
  const writeOne = async (name: string) => {
    const answer = await write(name);
    answered.push(name);
    return answer;
  };
  const written = () => transactions.map(({ given }) => given);
  return { transactions, written, answered, writeOne };
}

/** Lets writes gather, and all go on that waits for nothing else. */
async function settled(): Promise<void> {
  await setImmediate();
  await setImmediate();
}

test("writes of one turn go together", async () => {
  const { transactions, written, writeOne } = heldWrites();
  const answers = Promise.all(["a", "b", "c"].map(writeOne));
  await settled();
  expect(written()).toEqual([["a", "b", "c"]]);
  transactions[0]?.commit();
  expect(await answers).toEqual(["A", "B", "C"]);
});

test("writes that come while enough are under way go together; each is answered after its commit", async () => {
  const { transactions, written, answered, writeOne } = heldWrites();
  const answers: Promise<string>[] = [];
  for (const name of ["a", "b", "c", "d", "e"]) {
    answers.push(writeOne(name));
    await settled();
  }
  expect(written()).toEqual([["a"], ["b"]]);
  transactions[1]?.commit();
  await settled();
  expect(answered).toEqual(["b"]);
  expect(transactions[2]).toMatchObject({ given: ["c", "d", "e"], rows: 300 });
  transactions[2]?.commit();
  await settled();
  expect(answered).toEqual(["b", "c", "d", "e"]);
  transactions[0]?.commit();
  expect(await Promise.all(answers)).toEqual(["A", "B", "C", "D", "E"]);
});

test("one transaction has no more rows than it should", async () => {
  const { transactions, writeOne } = heldWrites();
  const answers = Promise.all(Array.from({ length: 16 }, (_, index) => writeOne(`w${index}`)));
  await settled();
  transactions[0]?.commit();
  await settled();
  transactions[1]?.commit();
  expect(transactions.map(({ rows }) => rows)).toEqual([1_000, 600]);
  expect(await answers).toHaveLength(16);
});

test("a write that is promised its answer holds up no other", async () => {
  const late = Promise.withResolvers<string>();
  const runs: (readonly string[])[] = [];
  const write = joinedWrites<string, string>({
    runAll: async (_rows, given) => {
      runs.push(given);
      return given.map((name) => (name === "late" ? late.promise : name.toUpperCase()));
    },
    rowsOf: () => 1,
    atOnce: 1,
    failsAll: () => false,
  });
  const failed = expect(write("late")).rejects.toThrow("locked");
  expect(await Promise.all([write("a"), write("b")])).toEqual(["A", "B"]);
  expect(await write("c")).toBe("C");
  late.reject(new Error("locked"));
  await failed;
  expect(runs).toEqual([["late", "a", "b"], ["c"]]);
});

test("a write that fails takes no other with it", async () => {
  const { transactions, written, writeOne } = heldWrites();
  const answers = Promise.allSettled(["a", "bad", "c"].map(writeOne));
  for (let next = 0; next < 4; next++) {
    await settled();
    const transaction = transactions[next];
    if (transaction?.given.includes("bad")) {
      transaction.fail(new Error("too large"));
    } else {
      transaction?.commit();
    }
  }
  expect(written()).toEqual([["a", "bad", "c"], ["a"], ["bad"], ["c"]]);
  expect((await answers).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
});

test("what every write would meet fails all of a transaction at once, and none that come later", async () => {
  const { transactions, writeOne } = heldWrites(() => true);
  const answers = Promise.allSettled(["a", "b"].map(writeOne));
  await settled();
  transactions[0]?.fail(new Error("the disk is full"));
  expect((await answers).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  const later = writeOne("c");
  await settled();
  transactions[1]?.commit();
  expect(await later).toBe("C");
  expect(transactions).toHaveLength(2);
});
