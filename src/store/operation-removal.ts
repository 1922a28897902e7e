import type { Selectable, Transaction } from "kysely";
import type { MetricLogs } from "./metric-logs.ts";
import type { OperationCounts } from "./operation-counts.ts";
import type { StoreTables } from "./schema.ts";

/** What expires. Times are in milliseconds since the epoch. */
export interface Expiry {
  readonly now: number;
  /** The most operations to remove. */
  readonly limit: number;
  /** How long the tombstones are kept. */
  readonly tombstoneUntil: number;
  /** Transactions run side by side: what another one is just removing is passed over. */
  readonly lockRows: boolean;
}

/**
 * Removes up to `limit` operations whose expires_at is at or before `now`, the oldest first, and leaves tombstones.
 * Answers their ids. The records of their logs are left to `MetricLogs.removeDropped`.
 */
export async function expireOperations(
  trx: Transaction<StoreTables>,
  logs: MetricLogs,
  counts: OperationCounts | undefined,
  { now, limit, tombstoneUntil, lockRows }: Expiry,
): Promise<string[]> {
  const due = await trx
    .selectFrom("operations")
    .select("operation_id")
    .where("expires_at", "<=", now)
    .orderBy("expires_at")
    .limit(limit)
    .$if(lockRows, (query) => query.forUpdate().skipLocked())
    .execute();
  if (due.length === 0) {
    return [];
  }
  const ids = due.map(({ operation_id }) => operation_id);
  await logs.drop(trx, ids);
  const expired = await trx
    .deleteFrom("operations")
    .where("operation_id", "in", ids)
    .returning(["operation_id", "expires_at", "operation_type", "status"])
    .execute();
  for (const one of expired) {
    counts?.note(trx, one, -1);
  }
  const tombstones = expired.map(({ operation_id, expires_at }) => ({
    operation_id,
    expired_at: expires_at ?? now,
    kept_until: tombstoneUntil,
  }));
  await writeTombstones(trx, tombstones);
  return ids;
}

/** Notes that operations have expired; a later expiry of the same id counts. */
export async function writeTombstones(
  trx: Transaction<StoreTables>,
  tombstones: readonly Selectable<StoreTables["tombstones"]>[],
): Promise<void> {
  await trx
    .insertInto("tombstones")
    .values(tombstones)
    .onConflict((conflict) =>
      conflict.column("operation_id").doUpdateSet(({ ref }) => ({
        expired_at: ref("excluded.expired_at"),
        kept_until: ref("excluded.kept_until"),
      })),
    )
    .execute();
}

/** Removes up to `limit` tombstones that are due at `now`. */
export async function removeDueTombstones(trx: Transaction<StoreTables>, now: number, limit: number): Promise<void> {
  await trx
    .deleteFrom("tombstones")
    .where("operation_id", "in", ({ selectFrom }) =>
      selectFrom("tombstones").select("operation_id").where("kept_until", "<=", now).orderBy("kept_until").limit(limit),
    )
    .execute();
}

/**
 * Removes an operation if it has the revision, and a tombstone an earlier one of the same id has left. The records of
 * its log are left to `MetricLogs.removeDropped`.
 */
export async function deleteOperation(
  trx: Transaction<StoreTables>,
  logs: MetricLogs,
  counts: OperationCounts | undefined,
  operationId: string,
  expectedRevision: bigint,
): Promise<boolean> {
  // Compares the revision, and keeps others from changing it where transactions run side by side.
  const { numUpdatedRows } = await trx
    .updateTable("operations")
    .set({ revision: expectedRevision })
    .where("operation_id", "=", operationId)
    .where("revision", "=", expectedRevision)
    .executeTakeFirstOrThrow();
  if (numUpdatedRows !== 1n) {
    return false;
  }
  await logs.drop(trx, [operationId]);
  const deleted = await trx
    .deleteFrom("operations")
    .where("operation_id", "=", operationId)
    .returning(["operation_type", "status"])
    .executeTakeFirstOrThrow();
  counts?.note(trx, deleted, -1);
  await trx.deleteFrom("tombstones").where("operation_id", "=", operationId).execute();
  return true;
}
