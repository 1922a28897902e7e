import { DatabaseSync } from "node:sqlite";
import { setImmediate } from "node:timers/promises";
import { Kysely, type Transaction } from "kysely";
import { describe, expect, test } from "vitest";
import { groupCommit } from "../../src/store/group-commit.ts";
import { migrateStore } from "../../src/store/migrate-store.ts";
import { nodeSqliteDialect } from "../../src/store/node-sqlite-dialect.ts";
import type { StoreTables } from "../../src/store/schema.ts";
import { sqliteTarget } from "../../src/store/sqlite-store.ts";
import type { Transact } from "../../src/store/transact.ts";

interface Fixture {
  readonly db: Kysely<StoreTables>;
  readonly transact: Transact;
}

function groupTest(name: string, body: (fixture: Fixture) => Promise<void>): void {
  test(name, async () => {
    const db = new Kysely<StoreTables>({ dialect: nodeSqliteDialect(new DatabaseSync(":memory:")) });
    try {
      await migrateStore(db, sqliteTarget("the test's database"));
      await body({ db, transact: groupCommit(db) });
    } finally {
      await db.destroy();
    }
  });
}

/** A write that notes its transaction. */
async function note(trx: Transaction<StoreTables>, id: string): Promise<Transaction<StoreTables>> {
  await trx.insertInto("tombstones").values({ operation_id: id, expired_at: 0, kept_until: 0 }).execute();
  return trx;
}

async function noted(db: Kysely<StoreTables>): Promise<string[]> {
  const rows = await db.selectFrom("tombstones").select("operation_id").orderBy("operation_id").execute();
  return rows.map(({ operation_id }) => operation_id);
}

describe("group commit", () => {
  groupTest("writes of one turn share a transaction, later ones do not", async ({ db, transact }) => {
    const [first, second] = await Promise.all([
      transact(1, (trx) => note(trx, "a")),
      transact(1, (trx) => note(trx, "b")),
    ]);
    const third = await transact(1, (trx) => note(trx, "c"));
    expect(first).toBe(second);
    expect(third).not.toBe(first);
    expect(await noted(db)).toEqual(["a", "b", "c"]);
  });

  groupTest("large writes do not share one", async ({ transact }) => {
    const [first, second] = await Promise.all([
      transact(100_000, (trx) => note(trx, "a")),
      transact(1, (trx) => note(trx, "b")),
    ]);
    expect(second).not.toBe(first);
  });

  groupTest("writes run in the order they came", async ({ transact }) => {
    const order: number[] = [];
    await Promise.all(Array.from({ length: 50 }, (_, index) => transact(500, async () => order.push(index))));
    expect(order).toEqual(Array.from({ length: 50 }, (_, index) => index));
  });

  groupTest("a write that fails takes no other with it and leaves nothing", async ({ db, transact }) => {
    const outcomes = await Promise.allSettled([
      transact(1, (trx) => note(trx, "a")),
      transact(1, async (trx) => {
        await note(trx, "bad");
        throw new Error("no");
      }),
      transact(1, (trx) => note(trx, "c")),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(await noted(db)).toEqual(["a", "c"]);
  });

  groupTest("nothing is seen of a transaction before it is committed", async ({ db, transact }) => {
    const { outside } = await transact(1, async (trx) => {
      await note(trx, "a");
      const outside = noted(db);
      await setImmediate();
      await note(trx, "b");
      return { outside };
    });
    expect(await outside).toEqual(["a", "b"]);
  });
});
