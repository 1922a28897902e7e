import type { Selectable, Transaction } from "kysely";
import type { CreateOutcome } from "../operations/operation-store.ts";
import type { OperationCounts } from "./operation-counts.ts";
import type { OperationQueries } from "./operation-queries.ts";
import { type OperationRow, operationFromRow, storedColumns } from "./operation-rows.ts";
import type { OperationLabelsTable, StoreTables } from "./schema.ts";

/** The rows of an operation's labels. */
export function labelRows(
  { operation_id, created_at }: OperationRow,
  labels: Readonly<Record<string, string>>,
): Selectable<OperationLabelsTable>[] {
  return Object.entries(labels).map(([key, value]) => ({ operation_id, key, value, created_at }));
}

/** Inserts an operation with its labels, and counts it, unless its id or request_id is taken. */
export async function createOperation(
  trx: Transaction<StoreTables>,
  queries: OperationQueries,
  row: OperationRow,
  labels: readonly Selectable<OperationLabelsTable>[],
  counts: OperationCounts | undefined,
): Promise<CreateOutcome> {
  for (;;) {
    const { numAffectedRows } = await queries.insert.run(trx, row);
    if (numAffectedRows === 1n) {
      await queries.insertLabels.run(trx, labels);
      counts?.note(trx, row, 1);
      return { created: true };
    }
    const holder = await findHolder(trx, row);
    // Another server may have removed the holder meanwhile; then the way is free.
    if (holder !== undefined) {
      return { created: false, ...holder };
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
