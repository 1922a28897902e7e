import { DatabaseSync } from "node:sqlite";
import { Kysely, sql } from "kysely";
import { expect, test } from "vitest";
import { migrateStore } from "../../src/store/migrations.ts";
import { nodeSqliteDialect } from "../../src/store/node-sqlite-dialect.ts";
import type { StoreTables } from "../../src/store/schema.ts";
import { sqliteColumnTypes } from "../../src/store/sqlite-store.ts";

test("a migration that fails leaves nothing, and migrating again does nothing", async () => {
  const database = new DatabaseSync(":memory:");
  const db = new Kysely<StoreTables>({ dialect: nodeSqliteDialect(database) });
  const tables = () =>
    database
      .prepare("select name from sqlite_schema where type = 'table' and name not like 'kysely%' order by name")
      .all()
      .map(({ name }) => name);

  const broken = { ...sqliteColumnTypes, clustered: sql`without sense` };
  await expect(migrateStore(db, broken, "the test's database")).rejects.toThrow("sense");
  expect(tables()).toEqual([]);

  await migrateStore(db, sqliteColumnTypes, "the test's database");
  await migrateStore(db, sqliteColumnTypes, "the test's database");
  expect(tables()).toEqual([
    "dropped_metric_logs",
    "metric_logs",
    "metric_records",
    "operation_labels",
    "operations",
    "tombstones",
  ]);
  await db.destroy();
});
