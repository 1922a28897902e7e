import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Kysely, sql } from "kysely";
import { expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { migrateStore } from "../../src/store/migrate-store.ts";
import { nodeSqliteDialect } from "../../src/store/node-sqlite-dialect.ts";
import type { StoreTables } from "../../src/store/schema.ts";
import { openSqliteStore, sqliteTarget } from "../../src/store/sqlite-store.ts";
import { withDirectory } from "./sqlite-directory.ts";
import { at, filter, idsOf, operation } from "./store-fixture.ts";

test("a migration that fails leaves nothing, and migrating again does nothing", async () => {
  const database = new DatabaseSync(":memory:");
  const db = new Kysely<StoreTables>({ dialect: nodeSqliteDialect(database) });
  const tables = () =>
    database
      .prepare("select name from sqlite_schema where type = 'table' and name not like 'kysely%' order by name")
      .all()
      .map(({ name }) => name);

  const target = sqliteTarget("the test's database");
  const broken = { ...target, traits: { ...target.traits, clustered: sql`without sense` } };
  await expect(migrateStore(db, broken)).rejects.toThrow("sense");
  expect(tables()).toEqual([]);

  await migrateStore(db, target);
  await migrateStore(db, target);
  expect(tables()).toEqual([
    "dropped_metric_logs",
    "instances",
    "metric_logs",
    "metric_records",
    "operation_counts",
    "operation_labels",
    "operations",
    "tombstones",
  ]);
  await db.destroy();
});

test("an older schema's operations are there after the migration, found by every filter and counted", () =>
  withDirectory(async (directory) => {
    const path = join(directory, "longhaul.db");
    const before = await openSqliteStore(path);
    const drafts = [
      operation("op_a", { labels: { team: "ml" } }),
      operation("op_b", { createdAt: at(1), status: OperationStatus.FAILED, operationType: "data_load" }),
      operation("op_c", { createdAt: at(2), status: OperationStatus.FAILED, parentOperationId: "op_a" }),
    ];
    for (const draft of drafts) {
      await before.create(draft);
    }
    await before.close();
    const database = new DatabaseSync(path);
    database.exec(`
      drop table operation_counts;
      drop index operations_by_type_and_status;
      delete from kysely_migration where name >= '0004';
    `);
    database.close();

    const store = await openSqliteStore(path);
    expect(idsOf(await store.list(filter(), undefined, 10))).toEqual(["op_c", "op_b", "op_a"]);
    const failed = filter({ operationTypes: ["training"], statuses: [OperationStatus.FAILED] });
    expect(idsOf(await store.list(failed, undefined, 10))).toEqual(["op_c"]);
    expect(await store.count(filter({ statuses: [OperationStatus.FAILED] }))).toEqual([
      { operationType: "data_load", status: OperationStatus.FAILED, count: 1 },
      { operationType: "training", status: OperationStatus.FAILED, count: 1 },
    ]);
    await store.create(operation("op_d", { status: OperationStatus.FAILED }));
    expect(await store.count(failed)).toEqual([
      { operationType: "training", status: OperationStatus.FAILED, count: 2 },
    ]);
    await store.close();
  }));
