import type { Selectable, Transaction } from "kysely";
import type { OperationQueries } from "./operation-queries.ts";
import type { OperationLabelsTable, StoreTables } from "./schema.ts";
import { type OperationRow, type StoredRow, storedColumns } from "./stored-columns.ts";

/** What became of a new row. */
export type CreatedRow =
  | { readonly created: true }
  | { readonly created: false; readonly conflict: "operation_id" | "request_id"; readonly existing: StoredRow };

/** The rows of an operation's labels. */
export function labelRows(
  { operation_id, created_at }: OperationRow,
  labels: Readonly<Record<string, string>>,
): Selectable<OperationLabelsTable>[] {
  return Object.entries(labels).map(([key, value]) => ({ operation_id, key, value, created_at }));
}

/** Inserts an operation with its labels, unless its id or request_id is taken. */
export async function createOperation(
  trx: Transaction<StoreTables>,
  queries: OperationQueries,
  row: OperationRow,
  labels: readonly Selectable<OperationLabelsTable>[],
): Promise<CreatedRow> {
  for (;;) {
    const { numAffectedRows } = await queries.insert.run(trx, row);
    if (numAffectedRows === 1n) {
      await queries.insertLabels.run(trx, labels);
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
      return { conflict: "request_id", existing: row } as const;
    }
  }
  const row = await taken.where("operation_id", "=", operation_id).executeTakeFirst();
  return row && ({ conflict: "operation_id", existing: row } as const);
}
