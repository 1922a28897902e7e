import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { type CompiledQuery, Kysely } from "kysely";
import { expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { allOf, anyOf } from "../../src/operations/operation-condition.ts";
import { groupCommit } from "../../src/store/group-commit.ts";
import { KyselyStore } from "../../src/store/kysely-store.ts";
import { migrateStore } from "../../src/store/migrate-store.ts";
import { nodeSqliteDialect } from "../../src/store/node-sqlite-dialect.ts";
import { OperationCounts } from "../../src/store/operation-counts.ts";
import type { StoreTables } from "../../src/store/schema.ts";
import { isSqliteFault, sqliteTroubleOf } from "../../src/store/sqlite-error.ts";
import { sqliteTarget } from "../../src/store/sqlite-store.ts";
import { runEveryStatement } from "./every-statement.ts";
import { at, epochMs, filter, idsOf, operation } from "./store-fixture.ts";

const { PENDING, RUNNING, COMPLETED, FAILED } = OperationStatus;

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
  const counts = new OperationCounts(db);
  const store = new KyselyStore({
    db,
    transact: groupCommit(db, { beforeCommit: (trx) => counts.write(trx) }),
    counts,
    lockRows: false,
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

  // Pages of these are found without sorting, however many operations match, and none is gone past that does not.
  const after = { createdAtMs: epochMs, operationId: "op_a" };
  const paths: [conditions: Parameters<typeof filter>[0], path: string][] = [
    [{}, "operations_by_created_at ((created_at,operation_id)<(?,?))"],
    [{ operationTypes: ["training"] }, "operations_by_type (operation_type=? AND (created_at"],
    [{ statuses: [RUNNING] }, "operations_by_status (status=? AND (created_at"],
    [
      { operationTypes: ["training"], statuses: [COMPLETED] },
      "operations_by_type_and_status (operation_type=? AND status=? AND (created_at",
    ],
    [{ parentOperationId: "op_a" }, "operations_by_parent (parent_operation_id=? AND (created_at"],
    [{ labels: { team: "ml" } }, "operation_labels_by_value (key=? AND value=? AND (created_at"],
    [{ createdAfter: at(-1), createdBefore: at(1) }, "operations_by_created_at (created_at>? AND (created_at"],
    [
      { operationTypes: ["training"], statuses: [PENDING], createdAfter: at(-1) },
      "operations_by_type_and_status (operation_type=? AND status=? AND created_at>? AND (created_at",
    ],
    // One bound of two that lie at the same end, and the nearer one.
    [{ createdBefore: at(-5) }, "operations_by_created_at (created_at<?)"],
  ];
  for (const [conditions, path] of paths) {
    queries.length = 0;
    await store.list(filter(conditions), after, 50);
    const plan = planOf(queries.at(-1) as CompiledQuery);
    expect(plan[0], queries.at(-1)?.sql).toContain(path);
    expect(plan).not.toContain("USE TEMP B-TREE FOR ORDER BY");
    expect(queries).toHaveLength(1);
  }

  // Of several values, there is such a search for each; the operations themselves are read for one page only.
  for (const conditions of [
    { statuses: [PENDING, RUNNING] },
    { operationTypes: ["training", "data_load"] },
    { operationTypes: ["training"], statuses: [PENDING, COMPLETED] },
  ]) {
    queries.length = 0;
    await store.list(filter(conditions), after, 50);
    const searches = planOf(queries.at(-1) as CompiledQuery).filter((step) => step.includes(" operations "));
    expect(searches).toHaveLength(3);
    expect(searches.filter((step) => step.includes("USING COVERING INDEX"))).toHaveLength(2);
    expect(
      searches.filter((step) => /(operation_type|status)=\? AND \(created_at,operation_id\)/.test(step)),
    ).toHaveLength(2);
  }

  // What has to be tested on operations is tested along the path that goes past the fewest.
  const tested: typeof paths = [
    [{ labels: { stage: "prod", team: "ml" } }, "SEARCH label USING COVERING INDEX operation_labels_by_value (key=?"],
    [{ labels: { team: "ml" }, statuses: [COMPLETED] }, "SEARCH label USING COVERING INDEX operation_labels_by_value"],
    [{ parentOperationId: "op_a", statuses: [RUNNING] }, "SEARCH operations USING INDEX operations_by_parent"],
  ];
  for (const [conditions, path] of tested) {
    queries.length = 0;
    await store.list(filter(conditions), after, 50);
    const plan = planOf(queries.at(-1) as CompiledQuery);
    expect(plan[0], queries.at(-1)?.sql).toContain(path);
    expect(plan).not.toContain("USE TEMP B-TREE FOR ORDER BY");
  }

  // Types and statuses are counted already.
  for (const conditions of [{}, { operationTypes: ["training"] }, { statuses: [RUNNING, COMPLETED] }]) {
    queries.length = 0;
    await store.count(filter(conditions));
    expect(queries.map(({ sql }) => sql)).toEqual([expect.stringContaining('from "operation_counts"')]);
  }

  // Pages of a condition that a filter can say are found like those of the filter, and an operation by its id.
  const isTeams = { kind: "text", field: { label: "team" }, oneOf: ["ml"] } as const;
  const isTraining = { kind: "text", field: "operation_type", oneOf: ["training"] } as const;
  const isRecent = { kind: "time", field: "created_at", operator: ">", ms: epochMs } as const;
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
  // What is tested row by row is tested in spans, which begin small; calls go on between their statements.
  const many = Array.from({ length: 250 }, (_, index) => operation(`op_many_${index}`, { labels: { team: "many" } }));
  await Promise.all(many.map((one) => store.create(one)));
  queries.length = 0;
  expect(await store.list(filter(), undefined, 50, hasEnded)).toEqual([]);
  expect(queries).toHaveLength(4);

  // Of a label of many and a status of few, the status leads the way, and the other way round.
  await store.create(operation("op_failed", { status: FAILED, labels: { team: "many", stage: "one" } }));
  queries.length = 0;
  expect(idsOf(await store.list(filter({ labels: { team: "many" }, statuses: [FAILED] }), undefined, 50))).toEqual([
    "op_failed",
  ]);
  expect(planOf(queries.at(-1) as CompiledQuery)[0]).toMatch(/^SEARCH operations USING INDEX operations_by_status/);
  const stageOfMany = filter({ operationTypes: ["training"], labels: { team: "many", stage: "one" } });
  expect(idsOf(await store.list(stageOfMany, undefined, 50))).toEqual(["op_failed"]);
  const { parameters } = queries.at(-1) as CompiledQuery;
  expect(parameters.slice(0, 2)).toEqual(["stage", "one"]);

  // What is found by its id is asked for at once.
  queries.length = 0;
  const byId = { kind: "text", field: "operation_id", oneOf: ["op_many_3", "op_many_7"] } as const;
  expect(idsOf(await store.list(filter({ statuses: [PENDING] }), undefined, 50, byId))).toEqual([
    "op_many_7",
    "op_many_3",
  ]);
  expect(queries).toHaveLength(1);
  await store.close();
});
