import { randomBytes } from "node:crypto";
import type { Kysely, Transaction } from "kysely";
import type { MetricsAppend, MetricsLog } from "../operations/operation-store.ts";
import type { MetricRecord } from "../progress/metric-record.ts";
import { type BatchInsert, prepareBatchInsert } from "./batch-insert.ts";
import { type Param, type PreparedQuery, prepareQuery } from "./prepared-query.ts";
import type { StoreTables } from "./schema.ts";

/** Records removed in one transaction: about 10 ms. */
export const recordsPerRemoval = 10_000;
/** Dropped logs looked at in one transaction. */
const logsPerRemoval = 250;

/**
 * The metrics logs of operations.
 *
 * I1 A log exists only with its operation; its end and its records change in one transaction.
 * I2 The records of a log that is not in metric_logs are never read, and its id is never used again. While there are
 *    any, the log is in dropped_metric_logs.
 */
export class MetricLogs {
  readonly #db: Kysely<StoreTables>;
  readonly #lockRows: boolean;
  readonly #readLog: PreparedQuery<{ operationId: string }, { cursor: number; summary: Uint8Array }>;
  readonly #moveEnds: BatchInsert<StoreTables["metric_logs"], { operation_id: string; log_id: string }>;
  readonly #readRecords;
  readonly #insertRecords: BatchInsert<StoreTables["metric_records"], unknown>;

  /** With `lockRows`, for databases whose transactions run side by side, what one removes is left to it. */
  constructor(db: Kysely<StoreTables>, lockRows: boolean) {
    this.#db = db;
    this.#lockRows = lockRows;
    this.#readLog = prepareQuery((param: Param<{ operationId: string }>) =>
      db
        .selectFrom("metric_logs")
        .select(["cursor", "summary"])
        .where(
          "operation_id",
          "=",
          param(({ operationId }) => operationId),
        ),
    );
    this.#moveEnds = prepareBatchInsert((rows) =>
      db
        .insertInto("metric_logs")
        .values(
          rows.map((row) => ({
            operation_id: row("operation_id"),
            log_id: row("log_id"),
            cursor: row("cursor"),
            summary: row("summary"),
          })),
        )
        .onConflict((conflict) =>
          conflict
            .column("operation_id")
            .doUpdateSet(({ ref }) => ({ cursor: ref("excluded.cursor"), summary: ref("excluded.summary") }))
            .whereRef("metric_logs.cursor", "<", "excluded.cursor"),
        )
        .returning(["operation_id", "log_id"]),
    );
    this.#insertRecords = prepareBatchInsert((rows) =>
      db
        .insertInto("metric_records")
        .values(
          rows.map((row) => ({
            log_id: row("log_id"),
            sequence: row("sequence"),
            attempt: row("attempt"),
            recorded_at: row("recorded_at"),
            kind: row("kind"),
            payload: row("payload"),
          })),
        )
        .onConflict((conflict) => conflict.doNothing()),
    );
    this.#readRecords = prepareQuery((param: Param<{ operationId: string; cursor: number; limit: number }>) =>
      db
        .selectFrom("metric_records")
        .select(["sequence", "attempt", "recorded_at as recordedAtMs", "kind", "payload"])
        .where("log_id", "=", ({ selectFrom }) =>
          selectFrom("metric_logs")
            .select("log_id")
            .where(
              "operation_id",
              "=",
              param(({ operationId }) => operationId),
            ),
        )
        .where(
          "sequence",
          ">",
          param(({ cursor }) => cursor),
        )
        .orderBy("sequence")
        .limit(param(({ limit }) => limit)),
    );
  }

  /**
   * Appends to each log the records it does not have yet and replaces its summary; does nothing where it has all of
   * them. The operations must exist, each once.
   */
  async append(trx: Transaction<StoreTables>, appends: readonly MetricsAppend[]): Promise<void> {
    const ends = appends.flatMap(({ operationId, records, summary }) => {
      const last = records.at(-1);
      const log_id = randomBytes(12).toString("base64url");
      return last === undefined ? [] : [{ operation_id: operationId, log_id, cursor: last.sequence, summary }];
    });
    const moved = await this.#moveEnds.run(trx, ends);
    const logIds = new Map(moved.map(({ operation_id, log_id }) => [operation_id, log_id]));
    const rows = appends.flatMap(({ operationId, records }) => {
      const log_id = logIds.get(operationId);
      return log_id === undefined ? [] : records.map((record) => rowOf(log_id, record));
    });
    await this.#insertRecords.run(trx, rows);
  }

  /** The end of an operation's log. */
  async end(operationId: string): Promise<MetricsLog> {
    const { rows } = await this.#readLog.run(this.#db, { operationId });
    return rows[0] ?? { cursor: 0, summary: new Uint8Array() };
  }

  /** Up to `limit` records with a sequence greater than `cursor`, oldest first. */
  async read(operationId: string, cursor: number, limit: number): Promise<MetricRecord[]> {
    const { rows } = await this.#readRecords.run(this.#db, { operationId, cursor, limit });
    return rows;
  }

  /** Takes the logs away from their operations. `removeDropped` removes the records. */
  async drop(trx: Transaction<StoreTables>, operationIds: readonly string[]): Promise<void> {
    await trx
      .insertInto("dropped_metric_logs")
      .columns(["log_id", "removed_to", "cursor"])
      .expression(
        trx
          .selectFrom("metric_logs")
          .select(({ lit }) => ["log_id", lit(0).as("removed_to"), "cursor"])
          .where("operation_id", "in", operationIds),
      )
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    await trx.deleteFrom("metric_logs").where("operation_id", "in", operationIds).execute();
  }

  /**
   * Removes some records of dropped logs, so many as one transaction should. False when there were none, but for those
   * that another transaction is just removing.
   */
  async removeDropped(trx: Transaction<StoreTables>): Promise<boolean> {
    const logs = await trx
      .selectFrom("dropped_metric_logs")
      .selectAll()
      .limit(logsPerRemoval)
      .$if(this.#lockRows, (query) => query.forUpdate().skipLocked())
      .execute();
    const whole: string[] = [];
    let left = recordsPerRemoval;
    for (const { log_id, removed_to, cursor } of logs) {
      if (cursor - removed_to > left) {
        const upTo = removed_to + left;
        await trx
          .deleteFrom("metric_records")
          .where("log_id", "=", log_id)
          .where("sequence", ">", removed_to)
          .where("sequence", "<=", upTo)
          .execute();
        await trx.updateTable("dropped_metric_logs").set({ removed_to: upTo }).where("log_id", "=", log_id).execute();
        break;
      }
      whole.push(log_id);
      left -= cursor - removed_to;
    }
    if (whole.length > 0) {
      await trx.deleteFrom("metric_records").where("log_id", "in", whole).execute();
      await trx.deleteFrom("dropped_metric_logs").where("log_id", "in", whole).execute();
    }
    return logs.length > 0;
  }
}

function rowOf(log_id: string, { sequence, attempt, recordedAtMs, kind, payload }: MetricRecord) {
  return { log_id, sequence, attempt, recorded_at: recordedAtMs, kind, payload };
}
