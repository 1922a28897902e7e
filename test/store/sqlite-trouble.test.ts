import { DatabaseSync } from "node:sqlite";
import { Kysely } from "kysely";
import { expect, test } from "vitest";
import { groupCommit } from "../../src/store/group-commit.ts";
import { KyselyStore } from "../../src/store/kysely-store.ts";
import { migrateStore } from "../../src/store/migrate-store.ts";
import { nodeSqliteDialect } from "../../src/store/node-sqlite-dialect.ts";
import type { StoreTables } from "../../src/store/schema.ts";
import { isSqliteFault, sqliteTroubleOf } from "../../src/store/sqlite-error.ts";
import { sqliteTarget } from "../../src/store/sqlite-store.ts";
import { storeWriter } from "../../src/store/store-writes.ts";
import { operation } from "./store-fixture.ts";

test("a full disk refuses writes, leaves reads, and is over when a write is kept", async () => {
  const database = new DatabaseSync(":memory:");
  const db = new Kysely<StoreTables>({ dialect: nodeSqliteDialect(database) });
  await migrateStore(db, sqliteTarget("the test's database"));
  const told: (string | undefined)[] = [];
  const store = new KyselyStore({
    db,
    write: storeWriter({ db, transact: groupCommit(db), lockRows: false }),
    troubleOf: sqliteTroubleOf,
    isFault: isSqliteFault,
    onTrouble: (reason) => told.push(reason),
    release: () => db.destroy(),
  });
  const first = operation("op_a");
  await store.create(first);
  // No page may be added any more, which a large operation needs and a probe does not.
  database.exec("pragma max_page_count = 1");
  await expect(store.create(operation("op_b", { warnings: ["x".repeat(20_000)] }))).rejects.toMatchObject({
    reason: "STORE_UNAVAILABLE",
    message: "the store cannot be used: the disk is full",
  });
  expect(store.trouble).toBe("the disk is full");
  await expect(store.create(operation("op_c"))).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
  expect(await store.get("op_a")).toEqual(first);

  await expect.poll(() => store.trouble).toBeUndefined();
  expect(await store.create(operation("op_c"))).toEqual({ created: true });
  expect(told).toEqual(["the disk is full", undefined]);
  await store.close();
});
