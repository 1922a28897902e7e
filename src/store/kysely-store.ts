import type { Kysely, Transaction } from "kysely";
import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import type { OperationFilter } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { CallError } from "../operations/errors.ts";
import type {
  CreateOutcome,
  MetricsLog,
  OperationChange,
  OperationCount,
  OperationStore,
  PageKey,
  StoredOperation,
} from "../operations/operation-store.ts";
import type { MetricRecord } from "../progress/metric-record.ts";
import { MetricLogs, recordsPerRemoval } from "./metric-logs.ts";
import { type OperationQueries, prepareOperationQueries } from "./operation-queries.ts";
import { deleteOperation, expireOperations, removeDueTombstones } from "./operation-removal.ts";
import {
  activeStatuses,
  infoFromRow,
  type OperationRow,
  operationFromRow,
  rowFromOperation,
  storedColumns,
} from "./operation-rows.ts";
import { countMatching, listMatching } from "./operation-search.ts";
import type { StoreTables } from "./schema.ts";
import type { Transact, Write } from "./transact.ts";

/** What a store needs of its database. */
export interface KyselyStoreOptions {
  /** A database with the newest schema. */
  readonly db: Kysely<StoreTables>;
  /** Runs a write in a transaction and resolves when it is durable. */
  readonly transact: Transact;
  /** Frees the database, after the last call has ended. */
  readonly release: () => Promise<void>;
}

/** Ids asked for in one statement; databases limit its parameters. */
const idsPerQuery = 1_000;
/** Rows an operation has about, in tables and indexes. */
const rowsPerOperation = 8;

/**
 * The store over any SQL database Kysely knows. Every statement is portable.
 *
 * I1 What a call says is committed before its promise resolves.
 * I2 An operation and what belongs to it (labels, end of its log) change in one transaction.
 * I3 operation_type, parent, created_at and labels never change after the insert; `replace` does not write them.
 * I4 The database is freed once, when no call is under way; calls that come later are refused.
 */
export class KyselyStore implements OperationStore {
  readonly #db: Kysely<StoreTables>;
  readonly #transact: Transact;
  readonly #release: () => Promise<void>;
  readonly #logs: MetricLogs;
  readonly #operations: OperationQueries;
  readonly #underWay = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;

  constructor({ db, transact, release }: KyselyStoreOptions) {
    this.#db = db;
    this.#transact = transact;
    this.#release = release;
    this.#logs = new MetricLogs(db);
    this.#operations = prepareOperationQueries(db);
  }

  async create(operation: StoredOperation): Promise<CreateOutcome> {
    const row = rowFromOperation(operation);
    const labels = Object.entries(operation.info.labels).map(([key, value]) => ({
      operation_id: row.operation_id,
      key,
      value,
      created_at: row.created_at,
    }));
    return this.#write(rowsPerOperation + labels.length, async (trx) => {
      for (;;) {
        const { numAffectedRows } = await this.#operations.insert.run(trx, row);
        if (numAffectedRows === 1n) {
          await this.#operations.insertLabels.run(trx, labels);
          return { created: true };
        }
        const holder = await findHolder(trx, row);
        // Another server may have removed the holder meanwhile; then the way is free.
        if (holder !== undefined) {
          return { created: false, ...holder };
        }
      }
    });
  }

  get(operationId: string): Promise<StoredOperation | undefined> {
    return this.#run(async () => {
      const { rows } = await this.#operations.select.run(this.#db, operationId);
      return rows[0] && operationFromRow(rows[0]);
    });
  }

  getMany(operationIds: readonly string[]): Promise<StoredOperation[]> {
    const ids = [...new Set(operationIds)];
    return this.#run(async () => {
      const found: StoredOperation[] = [];
      for (let from = 0; from < ids.length; from += idsPerQuery) {
        const rows = await this.#db
          .selectFrom("operations")
          .select(storedColumns)
          .where("operation_id", "in", ids.slice(from, from + idsPerQuery))
          .execute();
        found.push(...rows.map(operationFromRow));
      }
      return found;
    });
  }

  loadActive(): Promise<StoredOperation[]> {
    return this.#run(async () => {
      const rows = await this.#db
        .selectFrom("operations")
        .select(storedColumns)
        .where("status", "in", activeStatuses)
        .orderBy("created_at")
        .orderBy("operation_id")
        .execute();
      return rows.map(operationFromRow);
    });
  }

  async replace(changes: readonly OperationChange[]): Promise<Set<string>> {
    const prepared = changes.map(({ operation, expectedRevision, metrics }) => ({
      row: rowFromOperation(operation),
      expectedRevision,
      metrics,
    }));
    const rows = prepared.reduce((sum, { metrics }) => sum + rowsPerOperation + (metrics?.records.length ?? 0), 0);
    return this.#write(rows, async (trx) => {
      const replaced = new Set<string>();
      for (const change of prepared) {
        const { numAffectedRows } = await this.#operations.update.run(trx, change);
        if (numAffectedRows !== 1n) {
          continue;
        }
        const { operation_id } = change.row;
        replaced.add(operation_id);
        if (change.metrics !== undefined) {
          await this.#logs.append(trx, operation_id, change.metrics.records, change.metrics.summary);
        }
      }
      return replaced;
    });
  }

  list(filter: OperationFilter, after: PageKey | undefined, limit: number): Promise<OperationInfo[]> {
    return this.#run(async () => (await listMatching(this.#db, filter, after, limit)).map(infoFromRow));
  }

  count(filter: OperationFilter): Promise<OperationCount[]> {
    return this.#run(() => countMatching(this.#db, filter));
  }

  appendMetrics(operationId: string, records: readonly MetricRecord[], summary: Uint8Array): Promise<void> {
    return this.#write(records.length, async (trx) => {
      const { rows } = await this.#operations.exists.run(trx, operationId);
      // The operation may have been removed since the records were read from its source.
      if (rows.length > 0) {
        await this.#logs.append(trx, operationId, records, summary);
      }
    });
  }

  metricsLog(operationId: string): Promise<MetricsLog> {
    return this.#run(() => this.#logs.end(operationId));
  }

  readMetrics(operationId: string, cursor: number, limit: number): Promise<MetricRecord[]> {
    return this.#run(() => this.#logs.read(operationId, cursor, limit));
  }

  expire(now: number, limit: number, tombstoneUntil: number): Promise<string[]> {
    return this.#run(async () => {
      const expired = await this.#transact(limit * rowsPerOperation, async (trx) => {
        await removeDueTombstones(trx, now, limit);
        return expireOperations(trx, this.#logs, now, limit, tombstoneUntil);
      });
      await this.#removeDroppedRecords();
      return expired;
    });
  }

  delete(operationId: string, expectedRevision: bigint): Promise<boolean> {
    return this.#run(async () => {
      const deleted = await this.#transact(rowsPerOperation, (trx) =>
        deleteOperation(trx, this.#logs, operationId, expectedRevision),
      );
      await this.#removeDroppedRecords();
      return deleted;
    });
  }

  expiredAt(operationId: string): Promise<number | undefined> {
    return this.#run(async () => {
      const row = await this.#db
        .selectFrom("tombstones")
        .select("expired_at")
        .where("operation_id", "=", operationId)
        .executeTakeFirst();
      return row?.expired_at;
    });
  }

  close(): Promise<void> {
    this.#closed ??= Promise.allSettled(this.#underWay).then(this.#release);
    return this.#closed;
  }

  /** A log can be long, so its records go in transactions of their own; after a crash the next call goes on. */
  async #removeDroppedRecords(): Promise<void> {
    let mayBeMore = true;
    while (mayBeMore) {
      mayBeMore = await this.#transact(recordsPerRemoval, (trx) => this.#logs.removeDropped(trx));
    }
  }

  #write<T>(rows: number, write: Write<T>): Promise<T> {
    return this.#run(() => this.#transact(rows, write));
  }

  async #run<T>(call: () => Promise<T>): Promise<T> {
    if (this.#closed !== undefined) {
      throw new CallError("STORE_UNAVAILABLE", "the store is closed");
    }
    const result = call();
    this.#underWay.add(result);
    try {
      return await result;
    } catch (cause) {
      throw new CallError("STORE_UNAVAILABLE", "the store could not be read or written", { cause });
    } finally {
      this.#underWay.delete(result);
    }
  }
}

/** The operation that has the id or the request_id of a new one. With both taken, a repeated request is likelier. */
async function findHolder(trx: Transaction<StoreTables>, { operation_id, request_id }: OperationRow) {
  const taken = trx.selectFrom("operations").select(storedColumns);
  if (request_id !== null) {
    const row = await taken.where("request_id", "=", request_id).executeTakeFirst();
    if (row !== undefined) {
      return { conflict: "request_id", existing: operationFromRow(row) } as const;
    }
  }
  const row = await taken.where("operation_id", "=", operation_id).executeTakeFirst();
  return row && ({ conflict: "operation_id", existing: operationFromRow(row) } as const);
}
