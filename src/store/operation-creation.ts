import type { Selectable, Transaction } from "kysely";
import type { OperationCounts } from "./operation-counts.ts";
import type { OperationQueries } from "./operation-queries.ts";
import type { OperationLabelsTable, StoreTables } from "./schema.ts";
import { type OperationRow, type StoredRow, storedColumns } from "./stored-columns.ts";

/** What is written of a new operation. */
export interface NewRow {
  readonly row: OperationRow;
  readonly labels: readonly Selectable<OperationLabelsTable>[];
}

/** What became of a new row. */
export type CreatedRow =
  | { readonly created: true }
  | { readonly created: false; readonly conflict: "operation_id" | "request_id"; readonly existing: StoredRow };

/** What is written of a new operation with labels. */
export function newRow(row: OperationRow, labels: Readonly<Record<string, string>>): NewRow {
  const { operation_id, created_at } = row;
  return { row, labels: Object.entries(labels).map(([key, value]) => ({ operation_id, key, value, created_at })) };
}

/**
 * Inserts operations with their labels, and counts them, but for those whose id or request_id is taken, also by one before them. Answers
 * what became of each, in their order.
 */
export async function createOperations(
  trx: Transaction<StoreTables>,
  queries: OperationQueries,
  counts: OperationCounts | undefined,
  rows: readonly NewRow[],
): Promise<CreatedRow[]> {
  const outcomes = new Map<NewRow, CreatedRow>();
  for (;;) {
    const left = rows.filter((row) => !outcomes.has(row));
    if (left.length === 0) {
      return rows.map((row) => outcomes.get(row) as CreatedRow);
    }
    const inserted = await queries.insert.run(
      trx,
      left.map(({ row }) => row),
    );
    const ids = new Set(inserted.map(({ operation_id }) => operation_id));
    // Of several with the same id, the first one is inserted.
    const created = left.filter(({ row }) => ids.delete(row.operation_id));
    await queries.insertLabels.run(
      trx,
      created.flatMap(({ labels }) => labels),
    );
    for (const row of created) {
      counts?.note(trx, row.row, 1);
      outcomes.set(row, { created: true });
    }
    for (const refused of left.filter((row) => !outcomes.has(row))) {
      const holder = await findHolder(trx, refused.row);
      // Another server may have removed the holder meanwhile; then the way is free.
      if (holder !== undefined) {
        outcomes.set(refused, { created: false, ...holder });
      }
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
