import { type Expression, type Kysely, sql } from "kysely";
import { type Migration, Migrator } from "kysely/migration";
import type { StoreTables } from "./schema.ts";

/** What the databases call differently. */
export interface ColumnTypes {
  /** Text that is compared by its bytes. */
  readonly text: Expression<unknown>;
  readonly bytes: Expression<unknown>;
  /** Ends the statement that makes a table of small rows, which should lie in the order of their primary key. */
  readonly clustered: Expression<unknown>;
}

/**
 * Brings a database to the newest schema. `place` names the database in messages.
 * Throws an Error when a newer version has written it, or when a migration fails; then nothing has changed.
 */
export async function migrateStore(db: Kysely<StoreTables>, types: ColumnTypes, place: string): Promise<void> {
  const migrations = storeMigrations(types);
  const known = Object.keys(migrations).sort();
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } });
  await refuseNewerSchema(db, known, place);
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) {
    throw error;
  }
}

async function refuseNewerSchema(db: Kysely<StoreTables>, known: readonly string[], place: string): Promise<void> {
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true });
  if (!tables.some(({ name }) => name === "kysely_migration")) {
    return;
  }
  const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db);
  const newest = rows.at(-1)?.name;
  if (newest !== undefined && !known.includes(newest)) {
    throw new Error(
      `${place} has the schema "${newest}" of a newer longhaul, this one knows schemas up to "${known.at(-1)}"; ` +
        "run the newer longhaul or use another data directory",
    );
  }
}

function storeMigrations({ text, bytes, clustered }: ColumnTypes): Record<string, Migration> {
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
  };
}
