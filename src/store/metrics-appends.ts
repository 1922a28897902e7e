import type { Transaction } from "kysely";
import type { MetricsAppend } from "../operations/operation-store.ts";
import type { MetricLogs } from "./metric-logs.ts";
import type { StoreTables } from "./schema.ts";

/**
 * Appends to the logs of the operations that are their owner's and have not ended. Answers of each whether it was done,
 * in their order. With `lockRows`, for databases whose transactions run side by side, the operations stay as they are.
 */
export async function appendMetrics(
  trx: Transaction<StoreTables>,
  logs: MetricLogs,
  appends: readonly MetricsAppend[],
  lockRows: boolean,
): Promise<boolean[]> {
  const owners = await ownersOf(trx, appends, lockRows);
  const isOwned = ({ operationId, owner }: MetricsAppend) => owners.get(operationId) === owner;
  let left = appends.filter(isOwned);
  while (left.length > 0) {
    // A statement can move the end of a log only once.
    const first = new Map(left.toReversed().map((append) => [append.operationId, append]));
    await logs.append(trx, [...first.values()]);
    left = left.filter((append) => first.get(append.operationId) !== append);
  }
  return appends.map(isOwned);
}

/** The owners of those of the operations that have not ended. */
async function ownersOf(
  trx: Transaction<StoreTables>,
  appends: readonly MetricsAppend[],
  lockRows: boolean,
): Promise<Map<string, string | null>> {
  const ids = new Set(appends.map(({ operationId }) => operationId));
  const rows = await trx
    .selectFrom("operations")
    .select(["operation_id", "owner"])
    .where("operation_id", "in", [...ids])
    .where("completed_at", "is", null)
    // All transactions lock in one order, so none waits for another that waits for it.
    .orderBy("operation_id")
    .$if(lockRows, (query) => query.forShare())
    .execute();
  return new Map(rows.map(({ operation_id, owner }) => [operation_id, owner]));
}
