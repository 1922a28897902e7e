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
import { joinedWrites } from "./joined-writes.ts";
import { MetricLogs, recordsPerRemoval } from "./metric-logs.ts";
import type { OperationCounts } from "./operation-counts.ts";
import { type CreatedRow, type NewRow, newRow } from "./operation-creation.ts";
import { type OperationQueries, prepareOperationQueries } from "./operation-queries.ts";
import { changedRow, infoFromRow, operationFromRow, rowFromOperation } from "./operation-rows.ts";
import { countMatching, listMatching } from "./operation-search.ts";
import { changedByOthers, ownedBy } from "./ownership.ts";
import type { StoreTables } from "./schema.ts";
import { StoreCalls, type StoreCallsOptions } from "./store-calls.ts";
import type { Answer, Given, StoreWriter, WriteName } from "./store-writes.ts";
import { storedColumns } from "./stored-columns.ts";

/** What a store needs of its database. */
export interface KyselyStoreOptions {
  /** A database with the newest schema, to read. */
  readonly db: Kysely<StoreTables>;
  /** Writes to the database; what it has written is read. */
  readonly write: StoreWriter;
  /** The counts that `write` keeps of the operations. Default: it keeps none. */
  readonly counts?: OperationCounts;
  /** Transactions of creates, and of appends, that are under way at a time; others wait, and join. Default: no limit. */
  readonly joinedAtOnce?: number;
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
  readonly #writer: StoreWriter;
  readonly #create: (row: NewRow) => Promise<CreatedRow>;
  readonly #append: (append: MetricsAppend) => Promise<boolean>;
  readonly #release: () => Promise<void>;
  readonly #logs: MetricLogs;
  readonly #operations: OperationQueries;
  readonly #counts: OperationCounts | undefined;
  #closed: Promise<void> | undefined;

  constructor({
    db,
    write,
    counts,
    joinedAtOnce: atOnce = Number.POSITIVE_INFINITY,
    release,
    ...options
  }: KyselyStoreOptions) {
    const { troubleOf, isFault, onTrouble } = options;
    this.#db = db;
    this.#writer = write;
    const failsAll = (error: unknown) => troubleOf(error) !== undefined;
    this.#create = joinedWrites({
      runAll: (rows, created) => write("create", rows, created),
      rowsOf: ({ labels }) => rowsPerOperation + labels.length,
      atOnce,
      failsAll,
    });
    this.#append = joinedWrites({
      runAll: (rows, appends) => write("appendMetrics", rows, appends),
      rowsOf: ({ records }) => 1 + records.length,
      atOnce,
      failsAll,
    });
    this.#release = release;
    this.#logs = new MetricLogs(db, false);
    this.#operations = prepareOperationQueries(db);
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
        return write("writeTombstone", 1, { operation_id: "", expired_at: 0, kept_until: -probes });
      },
    });
  }

  get trouble(): string | undefined {
    return this.calls.trouble?.reason;
  }

  async create(operation: StoredOperation): Promise<CreateOutcome> {
    const row = newRow(rowFromOperation(operation), operation.info.labels);
    const outcome = await this.calls.write(() => this.#create(row));
    return outcome.created ? outcome : { ...outcome, existing: operationFromRow(outcome.existing) };
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

  async claim(claim: Claim, limit: number): Promise<StoredOperation[]> {
    const rows = await this.#write("claim", limit * rowsPerOperation, { claim, limit });
    return rows.map(operationFromRow);
  }

  ownedBy(owner: string): Promise<string[]> {
    return this.calls.read(() => ownedBy(this.#db, owner));
  }

  release(operationId: string, owner: string): Promise<void> {
    return this.#write("release", 1, { operationId, owner });
  }

  changedByOthers(owner: string): Promise<string[]> {
    return this.calls.read(() => changedByOthers(this.#db, owner));
  }

  async replace(changes: readonly OperationChange[]): Promise<Set<string>> {
    const prepared = changes
      .map(({ operation, byOther = false, ...expected }) => ({
        ...expected,
        row: changedRow(operation, byOther),
      }))
      // All transactions lock in one order, so none waits for another that waits for it.
      .sort((a, b) => compare(a.row.operation_id, b.row.operation_id));
    return this.#write("replace", changes.length * rowsPerOperation, prepared);
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

  appendMetrics(append: MetricsAppend): Promise<boolean> {
    return this.calls.write(() => this.#append(append));
  }

  metricsLog(operationId: string): Promise<MetricsLog> {
    return this.calls.read(() => this.#logs.end(operationId));
  }

  readMetrics(operationId: string, cursor: number, limit: number): Promise<MetricRecord[]> {
    return this.calls.read(() => this.#logs.read(operationId, cursor, limit));
  }

  expire(now: number, limit: number, tombstoneUntil: number): Promise<string[]> {
    return this.calls.write(async () => {
      const given = { now, limit, tombstoneUntil };
      const expired = await this.#writer("expire", limit * rowsPerOperation, given);
      await this.#removeDroppedRecords();
      return expired;
    });
  }

  delete(operationId: string, expectedRevision: bigint): Promise<boolean> {
    return this.calls.write(async () => {
      const deleted = await this.#writer("delete", rowsPerOperation, { operationId, expectedRevision });
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
      mayBeMore = await this.#writer("removeDropped", recordsPerRemoval, undefined);
    }
  }

  #write<N extends WriteName>(name: N, rows: number, given: Given<N>): Promise<Answer<N>> {
    return this.calls.write(() => this.#writer(name, rows, given));
  }
}

function compare(a: string, b: string): number {
  return Number(a > b) - Number(a < b);
}
