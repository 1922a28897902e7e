import type { Kysely, Selectable } from "kysely";
import type { Claim, MetricsAppend } from "../operations/operation-store.ts";
import { MetricLogs } from "./metric-logs.ts";
import { appendMetrics } from "./metrics-appends.ts";
import type { OperationCounts } from "./operation-counts.ts";
import { type CreatedRow, createOperations, type NewRow } from "./operation-creation.ts";
import { type OperationUpdate, prepareOperationQueries } from "./operation-queries.ts";
import { deleteOperation, expireOperations, removeDueTombstones, writeTombstones } from "./operation-removal.ts";
import { claimOperations, releaseOperation } from "./ownership.ts";
import type { QueryRunner } from "./prepared-query.ts";
import type { StoreTables } from "./schema.ts";
import type { StoredRow } from "./stored-columns.ts";
import type { Transact } from "./transact.ts";

/** The writes of a store: what each is given and answers. All of it is plain data, so that it can go to a thread. */
export interface StoreWrites {
  /** Answers what became of each, in their order. */
  create(given: readonly NewRow[]): CreatedRow[];
  claim(given: { readonly claim: Claim; readonly limit: number }): StoredRow[];
  release(given: { readonly operationId: string; readonly owner: string }): void;
  /** Answers the ids of those that were replaced. */
  replace(given: readonly OperationUpdate[]): Set<string>;
  /** Answers of each whether it was done, in their order. */
  appendMetrics(given: readonly MetricsAppend[]): boolean[];
  expire(given: { readonly now: number; readonly limit: number; readonly tombstoneUntil: number }): string[];
  delete(given: { readonly operationId: string; readonly expectedRevision: bigint }): boolean;
  /** Answers whether there may be more to remove. */
  removeDropped(): boolean;
  writeTombstone(given: Selectable<StoreTables["tombstones"]>): void;
}

export type WriteName = keyof StoreWrites;
/** What a write is given. */
export type Given<N extends WriteName> = Parameters<StoreWrites[N]>[0];
/** What a write answers. */
export type Answer<N extends WriteName> = ReturnType<StoreWrites[N]>;

/** Runs a write and resolves when it is durable. `rows` is about how many rows it touches. */
export type StoreWriter = <N extends WriteName>(name: N, rows: number, given: Given<N>) => Promise<Answer<N>>;

/** What a writer needs of its database. */
export interface StoreWriterOptions {
  readonly db: Kysely<StoreTables>;
  readonly transact: Transact;
  /** Replaces one operation's row and answers whether it was as expected. Default: in a transaction. */
  readonly replaceOne?: (change: OperationUpdate) => Promise<boolean>;
  /** Transactions run side by side, so rows that are to stay as they are must be locked. */
  readonly lockRows: boolean;
  /** Where the database keeps count of its operations; what is noted, `transact` writes. Default: it does not. */
  readonly counts?: OperationCounts;
}

/** Runs writes on a database that this thread is connected with. */
export function storeWriter({ db, transact, replaceOne, lockRows, counts }: StoreWriterOptions): StoreWriter {
  const queries = prepareOperationQueries(db);
  const logs = new MetricLogs(db, lockRows);

  async function replace(runner: QueryRunner, changes: readonly OperationUpdate[]): Promise<Set<string>> {
    const replaced = new Set<string>();
    for (const change of changes) {
      const { row, expectedStatus } = change;
      const { numAffectedRows } = await queries.update.run(runner, change);
      if (numAffectedRows === 1n) {
        replaced.add(row.operation_id);
        counts?.note(runner, { ...row, status: expectedStatus }, -1);
        counts?.note(runner, row, 1);
      }
    }
    return replaced;
  }

  const writes: { readonly [N in WriteName]: (rows: number, given: Given<N>) => Promise<Answer<N>> } = {
    create: (rows, created) => transact(rows, (trx) => createOperations(trx, queries, counts, created)),
    claim: (rows, { claim, limit }) => transact(rows, (trx) => claimOperations(trx, claim, limit, lockRows)),
    release: (rows, { operationId, owner }) => transact(rows, (trx) => releaseOperation(trx, operationId, owner)),
    replace: async (rows, changes) => {
      const [only] = changes;
      if (replaceOne && only && changes.length === 1) {
        return new Set((await replaceOne(only)) ? [only.row.operation_id] : []);
      }
      return transact(rows, (trx) => replace(trx, changes));
    },
    appendMetrics: (rows, appends) => transact(rows, (trx) => appendMetrics(trx, logs, appends, lockRows)),
    expire: (rows, { now, limit, tombstoneUntil }) =>
      transact(rows, async (trx) => {
        await removeDueTombstones(trx, now, limit);
        return expireOperations(trx, logs, counts, { now, limit, tombstoneUntil, lockRows });
      }),
    delete: (rows, { operationId, expectedRevision }) =>
      transact(rows, (trx) => deleteOperation(trx, logs, counts, operationId, expectedRevision)),
    removeDropped: (rows) => transact(rows, (trx) => logs.removeDropped(trx)),
    writeTombstone: (rows, tombstone) => transact(rows, (trx) => writeTombstones(trx, [tombstone])),
  };
  return (name, rows, given) => writes[name](rows, given);
}
