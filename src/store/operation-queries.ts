import { type Kysely, type SqlBool, sql } from "kysely";
import type { OperationChange } from "../operations/operation-store.ts";
import { prepareBatchInsert } from "./batch-insert.ts";
import { type Param, prepareQuery } from "./prepared-query.ts";
import type { StoreTables } from "./schema.ts";
import { type ChangedRow, type OperationRow, storedColumns } from "./stored-columns.ts";

/** A change of an operation's row. */
export interface OperationUpdate
  extends Pick<OperationChange, "expectedRevision" | "expectedStatus" | "expectedOwner"> {
  readonly row: ChangedRow;
}

/** The statements on single operations, prepared. */
export type OperationQueries = ReturnType<typeof prepareOperationQueries>;

/** Prepares the statements on single operations. */
export function prepareOperationQueries(db: Kysely<StoreTables>) {
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
    /** Inserts operations, but for those whose id or request_id is taken. Returns the ids of those inserted. */
    insert: prepareBatchInsert<OperationRow, { operation_id: string }>((rows) =>
      db
        .insertInto("operations")
        .values(
          rows.map((row) => ({
            operation_id: row("operation_id"),
            operation_type: row("operation_type"),
            status: row("status"),
            parent_operation_id: row("parent_operation_id"),
            created_at: row("created_at"),
            completed_at: row("completed_at"),
            expires_at: row("expires_at"),
            revision: row("revision"),
            request_id: row("request_id"),
            payload_hash: row("payload_hash"),
            dispatched: row("dispatched"),
            owner: row("owner"),
            changed_by_other: row("changed_by_other"),
            traceparent: row("traceparent"),
            info: row("info"),
            request: row("request"),
          })),
        )
        .onConflict((conflict) => conflict.doNothing())
        .returning("operation_id"),
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
