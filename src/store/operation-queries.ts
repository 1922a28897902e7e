import { type Kysely, type SqlBool, sql } from "kysely";
import type { OperationChange } from "../operations/operation-store.ts";
import { prepareBatchInsert } from "./batch-insert.ts";
import { type OperationRow, storedColumns } from "./operation-rows.ts";
import { type Param, prepareQuery } from "./prepared-query.ts";
import type { StoreTables } from "./schema.ts";

/** A row that is to replace another one. */
export interface OperationUpdate
  extends Pick<OperationChange, "expectedRevision" | "expectedStatus" | "expectedOwner"> {
  readonly row: OperationRow;
}

/** The statements on single operations, prepared. */
export type OperationQueries = ReturnType<typeof prepareOperationQueries>;

/**
 * Prepares the statements on single operations. With `lockRows`, for databases whose transactions run side by side, what
 * a transaction has looked at stays as it is until its end.
 */
export function prepareOperationQueries(db: Kysely<StoreTables>, lockRows: boolean) {
  return {
    /** The operation of an id. */
    select: prepareQuery((param: Param<string>) =>
      db
        .selectFrom("operations")
        .select(storedColumns)
        .where(
          "operation_id",
          "=",
          param((id) => id),
        ),
    ),
    /** A row when the operation is the owner's and has not ended. */
    owned: prepareQuery((param: Param<{ operationId: string; owner: string }>) =>
      db
        .selectFrom("operations")
        .select("operation_id")
        .where(
          "operation_id",
          "=",
          param(({ operationId }) => operationId),
        )
        .where(
          "owner",
          "=",
          param(({ owner }) => owner),
        )
        .where("completed_at", "is", null)
        .$if(lockRows, (query) => query.forShare()),
    ),
    /** Inserts an operation, unless its id or request_id is taken. */
    insert: prepareQuery((param: Param<OperationRow>) =>
      db
        .insertInto("operations")
        .values({
          operation_id: param((row) => row.operation_id),
          operation_type: param((row) => row.operation_type),
          status: param((row) => row.status),
          parent_operation_id: param((row) => row.parent_operation_id),
          created_at: param((row) => row.created_at),
          completed_at: param((row) => row.completed_at),
          expires_at: param((row) => row.expires_at),
          revision: param((row) => row.revision),
          request_id: param((row) => row.request_id),
          payload_hash: param((row) => row.payload_hash),
          dispatched: param((row) => row.dispatched),
          owner: param((row) => row.owner),
          changed_by_other: param((row) => row.changed_by_other),
          traceparent: param((row) => row.traceparent),
          info: param((row) => row.info),
          request: param((row) => row.request),
        })
        .onConflict((conflict) => conflict.doNothing()),
    ),
    /** Inserts labels of new operations. */
    insertLabels: prepareBatchInsert<StoreTables["operation_labels"]>((rows) =>
      db.insertInto("operation_labels").values(
        rows.map((row) => ({
          operation_id: row("operation_id"),
          key: row("key"),
          value: row("value"),
          created_at: row("created_at"),
        })),
      ),
    ),
    /** Writes what may change of an operation, if it is as expected. */
    update: prepareQuery((param: Param<OperationUpdate>) =>
      db
        .updateTable("operations")
        .set({
          status: param(({ row }) => row.status),
          completed_at: param(({ row }) => row.completed_at),
          expires_at: param(({ row }) => row.expires_at),
          revision: param(({ row }) => row.revision),
          dispatched: param(({ row }) => row.dispatched),
          owner: param(({ row }) => row.owner),
          changed_by_other: param(({ row }) => row.changed_by_other),
          info: param(({ row }) => row.info),
        })
        .where(
          "operation_id",
          "=",
          param(({ row }) => row.operation_id),
        )
        .where(
          "revision",
          "=",
          param(({ expectedRevision }) => expectedRevision),
        )
        .where(
          "status",
          "=",
          param(({ expectedStatus }) => expectedStatus),
        )
        .where(sql<SqlBool>`coalesce(owner, '') = ${param(({ expectedOwner }) => expectedOwner)}`),
    ),
  };
}
