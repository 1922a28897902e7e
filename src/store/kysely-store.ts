import type { Kysely } from "kysely";
import type { OperationFilter } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { foldCondition } from "../operations/fold-condition.ts";
import type { OperationCondition } from "../operations/operation-condition.ts";
import type {
  Claim,
  CreateOutcome,
  ListedOperation,
  MetricsAppend,
  MetricsLog,
  OperationChange,
  OperationCount,
  OperationStore,
  PageKey,
  StoredOperation,
} from "../operations/operation-store.ts";
import type { MetricRecord } from "../progress/metric-record.ts";
import { MetricLogs, recordsPerRemoval } from "./metric-logs.ts";
import type { OperationCounts } from "./operation-counts.ts";
import { createOperation, labelRows } from "./operation-creation.ts";
import { type OperationQueries, prepareOperationQueries } from "./operation-queries.ts";
import { deleteOperation, expireOperations, removeDueTombstones, writeTombstones } from "./operation-removal.ts";
import { infoFromRow, operationFromRow, rowFromOperation, storedColumns } from "./operation-rows.ts";
import { countMatching, listMatching } from "./operation-search.ts";
import { changedByOthers, claimOperations, ownedBy, releaseOperation } from "./ownership.ts";
import type { QueryRunner } from "./prepared-query.ts";
import type { StoreTables } from "./schema.ts";
import { StoreCalls, type StoreCallsOptions } from "./store-calls.ts";
import type { Statement, Transact, Write } from "./transact.ts";

/** What a store needs of its database. */
export interface KyselyStoreOptions {
  /** A database with the newest schema. */
  readonly db: Kysely<StoreTables>;
  /** Runs a write in a transaction and resolves when it is durable. */
  readonly transact: Transact;
  /** Runs a single statement without the ways that a transaction takes. Default: in a transaction. */
  readonly runAlone?: <T>(statement: Statement<T>) => Promise<T>;
  /** Transactions run side by side, so rows that are to stay as they are must be locked. */
  readonly lockRows: boolean;
  /** Where the database keeps count of its operations; what is noted, `transact` writes. Default: it does not. */
  readonly counts?: OperationCounts;
  readonly troubleOf: StoreCallsOptions["troubleOf"];
  readonly isFault: StoreCallsOptions["isFault"];
  readonly onTrouble?: StoreCallsOptions["onTrouble"];
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
 * I4 What only its owner may write is written in a transaction that keeps others from taking the ownership meanwhile.
 * I5 The database is freed once, when no call is under way; calls that come later are refused.
 */
export class KyselyStore implements OperationStore {
  /** The way of all calls to the database, for what else is stored in it. */
  readonly calls: StoreCalls;
  readonly #db: Kysely<StoreTables>;
  readonly #transact: Transact;
  readonly #runAlone: KyselyStoreOptions["runAlone"];
  readonly #lockRows: boolean;
  readonly #release: () => Promise<void>;
  readonly #logs: MetricLogs;
  readonly #operations: OperationQueries;
  readonly #counts: OperationCounts | undefined;
  #closed: Promise<void> | undefined;

  constructor({ db, transact, lockRows, release, ...options }: KyselyStoreOptions) {
    const { runAlone, counts, troubleOf, isFault, onTrouble } = options;
    this.#db = db;
    this.#transact = transact;
    this.#runAlone = runAlone;
    this.#lockRows = lockRows;
    this.#release = release;
    this.#logs = new MetricLogs(db, lockRows);
    this.#operations = prepareOperationQueries(db, lockRows);
    this.#counts = counts;
    let probes = 0;
    this.calls = new StoreCalls({
      troubleOf,
      isFault,
      ...(onTrouble && { onTrouble }),
      // A tombstone of no operation, due at once: the next expiry takes it away. Another one each time, because SQLite
      // does not write what is as it was.
      probe: () => {
        probes += 1;
        const tombstone = { operation_id: "", expired_at: 0, kept_until: -probes };
        return transact(1, (trx) => writeTombstones(trx, [tombstone]));
      },
    });
  }

  get trouble(): string | undefined {
    return this.calls.trouble?.reason;
  }

  async create(operation: StoredOperation): Promise<CreateOutcome> {
    const row = rowFromOperation(operation);
    const labels = labelRows(row, operation.info.labels);
    return this.#write(rowsPerOperation + labels.length, (trx) =>
      createOperation(trx, this.#operations, row, labels, this.#counts),
    );
  }

  get(operationId: string): Promise<StoredOperation | undefined> {
    return this.calls.read(async () => {
      const { rows } = await this.#operations.select.run(this.#db, operationId);
      return rows[0] && operationFromRow(rows[0]);
    });
  }

  getMany(operationIds: readonly string[]): Promise<StoredOperation[]> {
    const ids = [...new Set(operationIds)];
    return this.calls.read(async () => {
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

  claim(claim: Claim, limit: number): Promise<StoredOperation[]> {
    return this.#write(limit * rowsPerOperation, (trx) => claimOperations(trx, claim, limit, this.#lockRows));
  }

  ownedBy(owner: string): Promise<string[]> {
    return this.calls.read(() => ownedBy(this.#db, owner));
  }

  release(operationId: string, owner: string): Promise<void> {
    return this.#write(1, (trx) => releaseOperation(trx, operationId, owner));
  }

  changedByOthers(owner: string): Promise<string[]> {
    return this.calls.read(() => changedByOthers(this.#db, owner));
  }

  async replace(changes: readonly OperationChange[]): Promise<Set<string>> {
    const prepared = changes
      .map(({ operation, byOther = false, ...expected }) => ({
        ...expected,
        row: { ...rowFromOperation(operation), changed_by_other: byOther ? 1 : 0 },
      }))
      // All transactions lock in one order, so none waits for another that waits for it.
      .sort((a, b) => compare(a.row.operation_id, b.row.operation_id));
    const replaceAll = async (db: QueryRunner) => {
      const replaced = new Set<string>();
      for (const change of prepared) {
        const { row, expectedStatus } = change;
        const { numAffectedRows } = await this.#operations.update.run(db, change);
        if (numAffectedRows === 1n) {
          replaced.add(row.operation_id);
          this.#counts?.note(db, { ...row, status: expectedStatus }, -1);
          this.#counts?.note(db, row, 1);
        }
      }
      return replaced;
    };
    const runAlone = changes.length === 1 ? this.#runAlone : undefined;
    return runAlone
      ? this.calls.write(() => runAlone(replaceAll))
      : this.#write(changes.length * rowsPerOperation, replaceAll);
  }

  list(
    filter: OperationFilter,
    after: PageKey | undefined,
    limit: number,
    condition?: OperationCondition,
  ): Promise<ListedOperation[]> {
    return this.calls.read(async () => {
      const rows = await listMatching(this.#db, foldCondition(filter, condition), after, limit);
      return rows.map((row) => ({ info: infoFromRow(row), owner: row.owner ?? "" }));
    });
  }

  count(filter: OperationFilter, condition?: OperationCondition): Promise<OperationCount[]> {
    return this.calls.read(() => countMatching(this.#db, foldCondition(filter, condition), this.#counts));
  }

  appendMetrics({ operationId, owner, records, summary }: MetricsAppend): Promise<boolean> {
    return this.#write(records.length, async (trx) => {
      const { rows } = await this.#operations.owned.run(trx, { operationId, owner });
      if (rows.length === 0) {
        return false;
      }
      await this.#logs.append(trx, operationId, records, summary);
      return true;
    });
  }

  metricsLog(operationId: string): Promise<MetricsLog> {
    return this.calls.read(() => this.#logs.end(operationId));
  }

  readMetrics(operationId: string, cursor: number, limit: number): Promise<MetricRecord[]> {
    return this.calls.read(() => this.#logs.read(operationId, cursor, limit));
  }

  expire(now: number, limit: number, tombstoneUntil: number): Promise<string[]> {
    return this.calls.write(async () => {
      const expired = await this.#transact(limit * rowsPerOperation, async (trx) => {
        await removeDueTombstones(trx, now, limit);
        return expireOperations(trx, this.#logs, this.#counts, {
          now,
          limit,
          tombstoneUntil,
          lockRows: this.#lockRows,
        });
      });
      await this.#removeDroppedRecords();
      return expired;
    });
  }

  delete(operationId: string, expectedRevision: bigint): Promise<boolean> {
    return this.calls.write(async () => {
      const deleted = await this.#transact(rowsPerOperation, (trx) =>
        deleteOperation(trx, this.#logs, this.#counts, operationId, expectedRevision),
      );
      await this.#removeDroppedRecords();
      return deleted;
    });
  }

  expiredAt(operationId: string): Promise<number | undefined> {
    return this.calls.read(async () => {
      const row = await this.#db
        .selectFrom("tombstones")
        .select("expired_at")
        .where("operation_id", "=", operationId)
        .executeTakeFirst();
      return row?.expired_at;
    });
  }

  close(): Promise<void> {
    this.#closed ??= this.calls.close().then(this.#release);
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
    return this.calls.write(() => this.#transact(rows, write));
  }
}

function compare(a: string, b: string): number {
  return Number(a > b) - Number(a < b);
}
