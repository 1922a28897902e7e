import { type CompiledQuery, Kysely } from "kysely";
import { Client } from "pg";
import { expect, onTestFinished, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { allOf, anyOf, not } from "../../src/operations/operation-condition.ts";
import { joinedReplacements } from "../../src/store/joined-replacements.ts";
import { KyselyStore } from "../../src/store/kysely-store.ts";
import { isPostgresFault, postgresTroubleOf } from "../../src/store/postgres-error.ts";
import { postgresPool } from "../../src/store/postgres-pool.ts";
import { locklessDialect } from "../../src/store/postgres-schema.ts";
import { retriedTransactions } from "../../src/store/retried-transactions.ts";
import type { StoreTables } from "../../src/store/schema.ts";
import { storeWriter } from "../../src/store/store-writes.ts";
import { runEveryStatement } from "./every-statement.ts";
import { describeOnEveryPostgres, openEmptyStore } from "./postgres-databases.ts";
import { epochMs, filter } from "./store-fixture.ts";

const { PENDING, RUNNING, COMPLETED } = OperationStatus;

/** Tables that grow. The instances and the dropped logs are few. */
const wholeTable = /Seq Scan on (operations|operation_labels|metric_logs|metric_records|tombstones)\b/;

describeOnEveryPostgres("the statements of the PostgreSQL store", (server) => {
  test("need go through no whole table", async () => {
    const { url, dispose } = await openEmptyStore(server());
    const queries: CompiledQuery[] = [];
    const pool = postgresPool(url, { size: 10, statementTimeoutMs: 5_000, preparedStatements: true });
    const db = new Kysely<StoreTables>({
      dialect: locklessDialect(pool),
      log: ({ query }) => {
        queries.push(query);
      },
    });
    const store = new KyselyStore({
      db,
      write: storeWriter({
        db,
        transact: retriedTransactions(db),
        replaceOne: joinedReplacements(db, { atOnce: 2, failsAll: () => false }),
        lockRows: true,
      }),
      troubleOf: postgresTroubleOf,
      isFault: isPostgresFault,
      release: () => db.destroy(),
    });
    await runEveryStatement(store);
    for (const conditions of [
      {},
      { operationTypes: ["training"] },
      { operationTypes: ["training", "data_load"] },
      { statuses: [RUNNING] },
      { statuses: [RUNNING, PENDING, COMPLETED] },
      { operationTypes: ["training"], statuses: [COMPLETED] },
      { parentOperationId: "op_a" },
      { labels: { team: "ml" } },
      { labels: { team: "ml", stage: "prod" }, statuses: [COMPLETED] },
      { labels: { team: "ml" }, statuses: [PENDING, RUNNING] },
    ]) {
      await store.list(filter(conditions), { createdAtMs: epochMs, operationId: "op_a" }, 50);
      await store.count(filter(conditions));
    }
    const isTeams = { kind: "text", field: { label: "team" }, oneOf: ["ml"] } as const;
    for (const condition of [
      isTeams,
      not(isTeams),
      anyOf([isTeams, { kind: "text", field: "operation_type", oneOf: ["training"] }]),
      allOf([isTeams, { kind: "time", field: "completed_at", operator: ">", ms: epochMs }]),
      { kind: "text", field: "operation_id", oneOf: ["op_a"] } as const,
      { kind: "part", field: "operation_type", at: "start", value: "train" } as const,
    ]) {
      await store.list(filter(), { createdAtMs: epochMs, operationId: "op_a" }, 50, condition);
      await store.count(filter(), condition);
    }
    await store.close();

    const client = new Client({ connectionString: url });
    await client.connect();
    onTestFinished(() => client.end());
    // The tables are empty; so only what cannot be done with an index is done without.
    await client.query("set enable_seqscan = off");
    const explainable = queries.filter(({ sql }) => !/^(begin|commit|rollback)$/.test(sql));
    expect(explainable.length).toBeGreaterThan(60);
    expect(explainable.filter(({ sql }) => sql.includes("unnest"))).toHaveLength(1);
    for (const { sql, parameters } of explainable) {
      const { rows } = await client.query(`explain ${sql}`, [...parameters]);
      const plan = rows.map((row) => row["QUERY PLAN"]).join("\n");
      expect(plan, sql).not.toMatch(wholeTable);
    }
    await dispose();
  });
});
