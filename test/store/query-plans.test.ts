import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { type CompiledQuery, Kysely } from "kysely";
import { expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { allOf, anyOf, not } from "../../src/operations/operation-condition.ts";
import { groupCommit } from "../../src/store/group-commit.ts";
import { KyselyStore } from "../../src/store/kysely-store.ts";
import { migrateStore } from "../../src/store/migrate-store.ts";
import { nodeSqliteDialect } from "../../src/store/node-sqlite-dialect.ts";
import type { StoreTables } from "../../src/store/schema.ts";
import { isSqliteFault, sqliteTroubleOf } from "../../src/store/sqlite-error.ts";
import { sqliteTarget } from "../../src/store/sqlite-store.ts";
import { storeWriter } from "../../src/store/store-writes.ts";
import { runEveryStatement } from "./every-statement.ts";
import { at, epochMs, filter, operation } from "./store-fixture.ts";

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
  await migrateStore(db, sqliteTarget("the test's database"));
  const store = new KyselyStore({
    db,
    write: storeWriter({ db, transact: groupCommit(db), lockRows: false }),
    troubleOf: sqliteTroubleOf,
    isFault: isSqliteFault,
    release: () => db.destroy(),
  });
  const planOf = ({ sql, parameters }: CompiledQuery) =>
    database
      .prepare(`explain query plan ${sql}`)
      .all(...(parameters as SQLInputValue[]))
      .map(({ detail }) => String(detail));
  queries.length = 0;

  await runEveryStatement(store);
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

  // So are pages of a condition that a filter can say, and an operation by its id.
  const isTeams = { kind: "text", field: { label: "team" }, oneOf: ["ml"] } as const;
  const isTraining = { kind: "text", field: "operation_type", oneOf: ["training"] } as const;
  const isRecent = { kind: "time", field: "created_at", operator: ">", ms: epochMs } as const;
  const isNotCompleted = not({ kind: "status", oneOf: [COMPLETED] });
  const hasEnded = { kind: "set", field: "completed_at" } as const;
  for (const [condition, search] of [
    [isTraining, /^SEARCH operations USING INDEX operations_by_type .*created_at/],
    [isTeams, /^SEARCH label USING COVERING INDEX operation_labels_by_value .*created_at/],
    [allOf([isTeams, anyOf([isTraining, hasEnded])]), /^SEARCH label USING COVERING INDEX operation_labels_by_value/],
    [allOf([isRecent, hasEnded]), /^SEARCH operations USING INDEX operations_by_created_at .*created_at/],
    [{ kind: "text", field: "operation_id", oneOf: ["op_a"] }, /^SEARCH operations USING INDEX sqlite_autoindex/],
    [{ kind: "text", field: "parent_operation_id", oneOf: ["op_a", "op_b"] }, /^SEARCH operations .*by_parent/],
  ] as const) {
    queries.length = 0;
    await store.list(filter(), after, 50, condition);
    expect(planOf(queries.at(-1) as CompiledQuery)[0], queries.at(-1)?.sql).toMatch(search);
    expect(queries.length).toBeLessThanOrEqual(2);
    for (const query of queries) {
      // Where a span ends is found likewise.
      expect(planOf(query).filter((step) => /^SCAN|TEMP B-TREE/.test(step) && query !== queries.at(-1))).toEqual([]);
    }
  }
  queries.length = 0;
  await store.list(filter(), after, 50, allOf([isNotCompleted, anyOf([isTeams, isTraining])]));
  expect(planOf(queries.at(-1) as CompiledQuery).filter((step) => step.includes("operations_by_status"))).toHaveLength(
    4,
  );

  // A page of several statuses is put together from a page of each.
  for (const conditions of [
    { statuses: [PENDING, RUNNING] },
    { labels: { team: "ml" }, statuses: [PENDING, RUNNING] },
    { operationTypes: ["training"], statuses: [PENDING, COMPLETED] },
  ]) {
    queries.length = 0;
    await store.list(filter(conditions), after, 50);
    const plan = planOf(queries.at(-1) as CompiledQuery);
    const searches = plan.filter((step) => step.includes(" operations "));
    expect(searches, queries.at(-1)?.sql).toHaveLength(2);
    expect(searches.every((step) => step.includes("(created_at,operation_id)<(?,?)"))).toBe(true);
  }

  // Those of several types are sorted, but read from the index.
  queries.length = 0;
  await store.list(filter({ operationTypes: ["training", "data_load"] }), undefined, 50);
  expect(planOf(queries.at(-1) as CompiledQuery)[0]).toMatch(/^SEARCH operations USING INDEX operations_by_type/);

  // What is tested row by row is tested in spans, which begin small; calls go on between their statements.
  await Promise.all(Array.from({ length: 250 }, (_, index) => store.create(operation(`op_many_${index}`))));
  queries.length = 0;
  expect(await store.list(filter(), undefined, 50, hasEnded)).toEqual([]);
  expect(queries).toHaveLength(4);
  await store.close();
});
