import { Kysely, sql, type Transaction } from "kysely";
import { expect, test, vi } from "vitest";
import { postgresPool } from "../../src/store/postgres-pool.ts";
import { locklessDialect } from "../../src/store/postgres-schema.ts";
import { type Param, prepareQuery } from "../../src/store/prepared-query.ts";
import { retried, retriedTransactions } from "../../src/store/retried-transactions.ts";
import type { StoreTables } from "../../src/store/schema.ts";
import type { Transact } from "../../src/store/transact.ts";
import { describeOnPostgres, openEmptyStore } from "./postgres-databases.ts";

const poolOptions = { size: 10, statementTimeoutMs: 5_000, preparedStatements: true };

interface Fixture {
  readonly db: Kysely<StoreTables>;
  readonly transact: Transact;
  readonly expiredAt: (id: string) => Promise<number | undefined>;
}

function increment(trx: Transaction<StoreTables>, id: string): Promise<unknown> {
  const next = sql<number>`expired_at + 1`;
  return trx.updateTable("tombstones").set({ expired_at: next }).where("operation_id", "=", id).execute();
}

describeOnPostgres("transactions side by side", (server) => {
  /** A test with two tombstones, "a" and "b", that expired at 0. `settings` are those of the connections. */
  function transactionTest(name: string, settings: string, body: (fixture: Fixture) => Promise<void>): void {
    test(name, async () => {
      const { url, dispose } = await openEmptyStore(server());
      const pool = postgresPool(`${url}?options=${encodeURIComponent(settings)}`, poolOptions);
      const db = new Kysely<StoreTables>({ dialect: locklessDialect(pool) });
      const tombstones = ["a", "b"].map((operation_id) => ({ operation_id, expired_at: 0, kept_until: 0 }));
      try {
        await db.insertInto("tombstones").values(tombstones).execute();
        const expiredAt = async (id: string) => {
          const rows = await db.selectFrom("tombstones").selectAll().where("operation_id", "=", id).execute();
          return rows[0]?.expired_at;
        };
        await body({ db, transact: retriedTransactions(db), expiredAt });
      } finally {
        await db.destroy();
        await dispose();
      }
    });
  }

  transactionTest(
    "that wait for each other are both done",
    "-c deadlock_timeout=50ms",
    async ({ transact, expiredAt }) => {
      const both = Promise.withResolvers<void>();
      let attempts = 0;
      const incrementBoth = (first: string, second: string) =>
        transact(1, async (trx) => {
          await increment(trx, first);
          if (++attempts === 2) {
            both.resolve();
          }
          await both.promise;
          await increment(trx, second);
        });
      await Promise.all([incrementBoth("a", "b"), incrementBoth("b", "a")]);
      expect(attempts).toBe(3);
      expect([await expiredAt("a"), await expiredAt("b")]).toEqual([2, 2]);
    },
  );

  transactionTest(
    "that cannot be put in an order are all done",
    "-c default_transaction_isolation=serializable",
    async ({ transact, expiredAt }) => {
      await Promise.all(Array.from({ length: 5 }, () => transact(1, (trx) => increment(trx, "a"))));
      expect(await expiredAt("a")).toBe(5);
    },
  );

  transactionTest("that fail by themselves fail, and leave nothing", "", async ({ transact, expiredAt }) => {
    const write = vi.fn<Parameters<Transact>[1]>(async (trx) => {
      await increment(trx, "a");
      await trx.insertInto("tombstones").values({ operation_id: "b", expired_at: 1, kept_until: 1 }).execute();
    });
    await expect(transact(1, write)).rejects.toMatchObject({ code: "23505" });
    expect(write).toHaveBeenCalledTimes(1);
    expect(await expiredAt("a")).toBe(0);
  });

  transactionTest("are tried no more than 10 times", "", async ({ transact }) => {
    const write = vi.fn<Parameters<Transact>[1]>(async (trx) => {
      await sql`do $$ begin raise exception 'not now' using errcode = '40001'; end $$`.execute(trx);
    });
    await expect(transact(1, write)).rejects.toMatchObject({ code: "40001" });
    expect(write).toHaveBeenCalledTimes(10);
  });

  transactionTest("that find their prepared statements gone do without", "", async ({ db, transact, expiredAt }) => {
    const insert = prepareQuery((param: Param<{ id: string }>) =>
      db.insertInto("tombstones").values({ operation_id: param(({ id }) => id), expired_at: 0, kept_until: 0 }),
    );
    for (const id of ["c", "d", "e"]) {
      await transact(1, async (trx) => {
        await insert.run(trx, { id });
        // As it is when a pooler gives the next transaction another connection.
        await sql`deallocate all`.execute(trx);
      });
      expect(await expiredAt(id)).toBe(0);
    }
  });

  transactionTest("that stand still do not hold up others for long", "", async ({ expiredAt }) => {
    expect(await expiredAt("a")).toBe(0);
    const { url } = await openEmptyStore(server());
    const standing = await postgresPool(url, { ...poolOptions, statementTimeoutMs: 300 }).connect();
    await standing.query("begin", []);
    await standing.query("lock table tombstones", []);
    const other = await postgresPool(url, poolOptions).connect();
    const start = performance.now();
    await other.query("select 1 from tombstones", []);
    expect(performance.now() - start).toBeLessThan(1_500);
    await expect(standing.query("commit", [])).rejects.toThrow();
  });
});

test("a call that fails for other reasons is not repeated", async () => {
  const call = vi.fn(() => Promise.reject(new Error("no")));
  await expect(retried(call)).rejects.toThrow("no");
  expect(call).toHaveBeenCalledTimes(1);
});
