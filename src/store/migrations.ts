import { type Expression, sql } from "kysely";
import type { Migration } from "kysely/migration";
import { activeStatuses } from "./operation-rows.ts";

/** What is different in the databases. */
export interface SchemaTraits {
  /** Text that is compared by its bytes. */
  readonly text: Expression<unknown>;
  readonly bytes: Expression<unknown>;
  /** Ends the statement that makes a table of small rows, which should lie in the order of their primary key. */
  readonly clustered: Expression<unknown>;
  /** There is a table of how many operations are of each type and status. */
  readonly keepsCounts: boolean;
}

/** All steps to the newest schema by their names, whose order is the steps'. */
export function storeMigrations({ text, bytes, clustered, keepsCounts }: SchemaTraits): Record<string, Migration> {
  return {
    "0001_operations": {
      async up(db) {
        await db.schema
          .createTable("operations")
          .addColumn("operation_id", text, (column) => column.primaryKey().notNull())
          .addColumn("operation_type", text, (column) => column.notNull())
          .addColumn("status", "integer", (column) => column.notNull())
          .addColumn("parent_operation_id", text)
          .addColumn("created_at", "bigint", (column) => column.notNull())
          .addColumn("completed_at", "bigint")
          .addColumn("expires_at", "bigint")
          .addColumn("revision", "bigint", (column) => column.notNull())
          .addColumn("request_id", text)
          .addColumn("payload_hash", text, (column) => column.notNull())
          .addColumn("dispatched", "integer", (column) => column.notNull())
          .addColumn("info", bytes, (column) => column.notNull())
          .addColumn("request", bytes, (column) => column.notNull())
          .execute();
        // Status and type are also in indexes that do not need them to find anything: so operations are passed over and
        // counted without reading their rows.
        await db.schema
          .createIndex("operations_by_created_at")
          .on("operations")
          .columns(["created_at", "operation_id", "status", "operation_type"])
          .execute();
        await db.schema
          .createIndex("operations_by_status")
          .on("operations")
          .columns(["status", "created_at", "operation_id", "operation_type"])
          .execute();
        await db.schema
          .createIndex("operations_by_type")
          .on("operations")
          .columns(["operation_type", "created_at", "operation_id", "status"])
          .execute();
        await db.schema
          .createIndex("operations_by_parent")
          .on("operations")
          .columns(["parent_operation_id", "created_at", "operation_id"])
          .where("parent_operation_id", "is not", null)
          .execute();
        await db.schema
          .createIndex("operations_by_expires_at")
          .on("operations")
          .column("expires_at")
          .where("expires_at", "is not", null)
          .execute();
        await db.schema
          .createIndex("operations_by_request_id")
          .unique()
          .on("operations")
          .column("request_id")
          .where("request_id", "is not", null)
          .execute();

        await db.schema
          .createTable("operation_labels")
          .addColumn("operation_id", text, (column) =>
            column.notNull().references("operations.operation_id").onDelete("cascade"),
          )
          .addColumn("key", text, (column) => column.notNull())
          .addColumn("value", text, (column) => column.notNull())
          .addColumn("created_at", "bigint", (column) => column.notNull())
          .addPrimaryKeyConstraint("operation_labels_key", ["operation_id", "key"])
          .modifyEnd(clustered)
          .execute();
        await db.schema
          .createIndex("operation_labels_by_value")
          .on("operation_labels")
          .columns(["key", "value", "created_at", "operation_id"])
          .execute();

        await db.schema
          .createTable("metric_logs")
          .addColumn("operation_id", text, (column) =>
            column.primaryKey().notNull().references("operations.operation_id"),
          )
          .addColumn("log_id", text, (column) => column.notNull())
          .addColumn("cursor", "bigint", (column) => column.notNull())
          .addColumn("summary", bytes, (column) => column.notNull())
          .execute();
        // Without a foreign key: it would be checked for every record, and costs a tenth of an append.
        await db.schema
          .createTable("metric_records")
          .addColumn("log_id", text, (column) => column.notNull())
          .addColumn("sequence", "bigint", (column) => column.notNull())
          .addColumn("attempt", "integer", (column) => column.notNull())
          .addColumn("recorded_at", "double precision", (column) => column.notNull())
          .addColumn("kind", text, (column) => column.notNull())
          .addColumn("payload", bytes, (column) => column.notNull())
          .addPrimaryKeyConstraint("metric_records_key", ["log_id", "sequence"])
          .modifyEnd(clustered)
          .execute();
        await db.schema
          .createTable("dropped_metric_logs")
          .addColumn("log_id", text, (column) => column.primaryKey().notNull())
          .addColumn("removed_to", "bigint", (column) => column.notNull())
          .addColumn("cursor", "bigint", (column) => column.notNull())
          .modifyEnd(clustered)
          .execute();

        await db.schema
          .createTable("tombstones")
          .addColumn("operation_id", text, (column) => column.primaryKey().notNull())
          .addColumn("expired_at", "bigint", (column) => column.notNull())
          .addColumn("kept_until", "bigint", (column) => column.notNull())
          .modifyEnd(clustered)
          .execute();
        await db.schema.createIndex("tombstones_by_kept_until").on("tombstones").column("kept_until").execute();
      },
    },
    "0002_owners": {
      async up(db) {
        await db.schema.alterTable("operations").addColumn("owner", text).execute();
        await db.schema
          .alterTable("operations")
          .addColumn("changed_by_other", "integer", (column) => column.notNull().defaultTo(0))
          .execute();
        // No instance has this id, so the next server takes them over.
        await sql`update operations set owner = 'none' where status in (${sql.join(activeStatuses)})`.execute(db);
        await db.schema
          .createIndex("operations_by_owner")
          .on("operations")
          .columns(["owner", "changed_by_other"])
          .where("owner", "is not", null)
          .execute();
        await db.schema
          .createTable("instances")
          .addColumn("instance_id", text, (column) => column.primaryKey().notNull())
          .addColumn("url", text, (column) => column.notNull())
          .addColumn("operation_types", text, (column) => column.notNull())
          .addColumn("lease_until", "bigint", (column) => column.notNull())
          .modifyEnd(clustered)
          .execute();
      },
    },
    "0003_traces": {
      async up(db) {
        await db.schema.alterTable("operations").addColumn("traceparent", text).execute();
      },
    },
    "0004_growth": {
      async up(db) {
        await db.schema
          .createIndex("operations_by_type_and_status")
          .on("operations")
          .columns(["operation_type", "status", "created_at", "operation_id"])
          .execute();
        if (keepsCounts) {
          await db.schema
            .createTable("operation_counts")
            .addColumn("operation_type", text, (column) => column.notNull())
            .addColumn("status", "integer", (column) => column.notNull())
            .addColumn("operations", "bigint", (column) => column.notNull())
            .addPrimaryKeyConstraint("operation_counts_key", ["operation_type", "status"])
            .modifyEnd(clustered)
            .execute();
          await sql`
            insert into operation_counts (operation_type, status, operations)
            select operation_type, status, count(*) from operations group by operation_type, status
          `.execute(db);
        }
      },
    },
  };
}
