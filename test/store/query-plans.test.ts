import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { type CompiledQuery, Kysely } from "kysely";
import { expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { groupCommit } from "../../src/store/group-commit.ts";
import { KyselyStore } from "../../src/store/kysely-store.ts";
import { migrateStore } from "../../src/store/migrations.ts";
import { nodeSqliteDialect } from "../../src/store/node-sqlite-dialect.ts";
import type { StoreTables } from "../../src/store/schema.ts";
import { sqliteColumnTypes } from "../../src/store/sqlite-store.ts";
import { at, changed, endedOperation, epochMs, filter, operation, records, summary } from "./store-fixture.ts";

const { PENDING, RUNNING, COMPLETED } = OperationStatus;

/** Tables that grow. The dropped logs are few and gone at once. */
const largeTables = /^SCAN (operations|operation_labels|label|other|metric_logs|metric_records|tombstones)\b/;

test("no statement goes through a whole table, and pages come in the order of an index", async () => {
  const database = new DatabaseSync(":memory:");
  const queries: CompiledQuery[] = [];
  const db = new Kysely<StoreTables>({
    dialect: nodeSqliteDialect(database),
    log: ({ query }) => {
      queries.push(query);
    },
  });
  await migrateStore(db, sqliteColumnTypes, "the test's database");
  const store = new KyselyStore({ db, transact: groupCommit(db), release: () => db.destroy() });
  const planOf = ({ sql, parameters }: CompiledQuery) =>
    database
      .prepare(`explain query plan ${sql}`)
      .all(...(parameters as SQLInputValue[]))
      .map(({ detail }) => String(detail));
  queries.length = 0;

  const first = operation("op_a", { labels: { team: "ml" }, requestId: "r" });
  await store.create(first);
  await store.create(first);
  await store.getMany(["op_a", "op_b"]);
  await store.loadActive();
  await store.replace([{ operation: changed(first, 2n), expectedRevision: 1n }]);
  await store.appendMetrics("op_a", records(1, 3), summary("three"));
  await store.metricsLog("op_a");
  await store.readMetrics("op_a", 1, 10);
  await store.create(endedOperation("op_b", 0));
  await store.appendMetrics("op_b", records(1, 3), summary("three"));
  await store.expire(epochMs, 250, epochMs);
  await store.delete("op_a", 2n);
  await store.expiredAt("op_b");
  await store.count(filter());
  await store.count(filter({ labels: { team: "ml" } }));
  expect(queries.length).toBeGreaterThan(20);
  for (const query of queries) {
    for (const step of planOf(query).filter((step) => largeTables.test(step))) {
      expect(step, query.sql).toContain("USING COVERING INDEX");
    }
  }

  // Pages of these are found without sorting, however many operations match.
  const after = { createdAtMs: epochMs, operationId: "op_a" };
  for (const conditions of [
    {},
    { operationTypes: ["training"] },
    { statuses: [RUNNING] },
    { operationTypes: ["training"], statuses: [COMPLETED] },
    { parentOperationId: "op_a" },
    { labels: { team: "ml" } },
    { labels: { team: "ml", stage: "prod" }, statuses: [COMPLETED] },
    { labels: { team: "ml" }, statuses: [PENDING] },
    { createdAfter: at(0), createdBefore: at(1) },
  ]) {
    queries.length = 0;
    await store.list(filter(conditions), after, 50);
    const plan = planOf(queries.at(-1) as CompiledQuery);
    expect(plan[0], queries.at(-1)?.sql).toMatch(
      /^SEARCH (operations|label) USING (COVERING )?INDEX operation.*created_at/,
    );
    expect(plan).not.toContain("USE TEMP B-TREE FOR ORDER BY");
  }

  // Several values of a column are sorted, but read from its index.
  for (const conditions of [{ statuses: [PENDING, RUNNING] }, { operationTypes: ["training", "data_load"] }]) {
    queries.length = 0;
    await store.list(filter(conditions), undefined, 50);
    expect(planOf(queries.at(-1) as CompiledQuery)[0]).toMatch(/^SEARCH operations USING INDEX operations_by_/);
  }
  await store.close();
});
