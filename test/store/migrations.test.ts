import { DatabaseSync } from "node:sqlite";
import { Kysely, sql } from "kysely";
import { expect, test } from "vitest";
import { migrateStore } from "../../src/store/migrate-store.ts";
import { nodeSqliteDialect } from "../../src/store/node-sqlite-dialect.ts";
import type { StoreTables } from "../../src/store/schema.ts";
import { sqliteTarget } from "../../src/store/sqlite-store.ts";

test("a migration that fails leaves nothing, and migrating again does nothing", async () => {
  const database = new DatabaseSync(":memory:");
  const db = new Kysely<StoreTables>({ dialect: nodeSqliteDialect(database) });
  const tables = () =>
    database
      .prepare("select name from sqlite_schema where type = 'table' and name not like 'kysely%' order by name")
      .all()
      .map(({ name }) => name);

  const target = sqliteTarget("the test's database");
  const broken = { ...target, types: { ...target.types, clustered: sql`without sense` } };
  await expect(migrateStore(db, broken)).rejects.toThrow("sense");
  expect(tables()).toEqual([]);

  await migrateStore(db, target);
  await migrateStore(db, target);
  expect(tables()).toEqual([
    "dropped_metric_logs",
    "instances",
    "metric_logs",
    "metric_records",
    "operation_labels",
    "operations",
    "tombstones",
  ]);
  await db.destroy();
});
