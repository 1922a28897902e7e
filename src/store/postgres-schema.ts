import { type Dialect, type DialectAdapter, type Kysely, PostgresDialect, type PostgresPool, sql } from "kysely";
import { type MigrationTarget, migrateStore, migrationTable, readMigrations } from "./migrate-store.ts";
import type { StoreTables } from "./schema.ts";

/** What a PostgreSQL database says of itself. */
export interface PostgresState {
  /** "PostgreSQL 18.4 on …"; others that speak its protocol begin otherwise. */
  readonly version: string;
  /** 180004 for 18.4. */
  readonly versionNumber: number;
  /** "UTF8" */
  readonly encoding: string;
  /** The role that is connected. */
  readonly role: string;
  /** The schema that has the tables, or where they are to be made; null when the role has none. */
  readonly schema: string | null;
  /** The migrations it has seen; none when it is empty. */
  readonly migrations: readonly string[];
}

/** Only one server migrates at a time. The number is the bytes of "longhaul". */
export const migrationLock = 7813585268923004268n;

/** Reads what a database is and which tables it has. */
export async function readPostgresState(db: Kysely<StoreTables>): Promise<PostgresState> {
  const { rows } = await sql<Omit<PostgresState, "migrations"> & { hasTables: boolean }>`
    select
      version() as version,
      current_setting('server_version_num')::int as "versionNumber",
      current_setting('server_encoding') as encoding,
      current_user as role,
      coalesce(tables.schema, current_schema())::text as schema,
      tables.schema is not null as "hasTables"
    from (
      select (
        select nspname from pg_class join pg_namespace on pg_namespace.oid = relnamespace
        where pg_class.oid = to_regclass(${migrationTable})
      ) as schema
    ) as tables`.execute(db);
  const [state] = rows;
  if (state === undefined) {
    throw new Error("the database does not say what it is");
  }
  const migrations = state.hasTables && state.schema !== null ? await readMigrations(db, state.schema) : [];
  return { ...state, migrations };
}

/**
 * A PostgreSQL database, or schema of one, whose tables are to be the newest. `place` names it in messages. Text is
 * compared by its bytes whatever the database's own order is, so that pages join and indexes serve prefixes.
 */
export function postgresTarget(place: string, schema: string | null): MigrationTarget {
  const traits = { text: sql`text collate "C"`, bytes: sql`bytea`, clustered: sql``, keepsCounts: false };
  return { traits, place, alternative: "another database", ...(schema !== null && { schema }) };
}

/**
 * Brings a database to the newest schema. Servers that start at the same moment wait for each other. The connection of
 * `db` must not end statements that take long.
 */
export async function migratePostgres(db: Kysely<StoreTables>, target: MigrationTarget): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const limits = sql`array['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout']`;
    await sql`select set_config(name, '0', true) from unnest(${limits}) as name`.execute(trx);
    // It ends with the transaction, so it works through poolers, too.
    await sql`select pg_advisory_xact_lock(${sql.lit(migrationLock)})`.execute(trx);
    if ((await readPostgresState(trx)).migrations.length === 0) {
      // The migrator would do so, but its errors get lost in a transaction that has failed.
      await trx.schema
        .createTable(migrationTable)
        .ifNotExists()
        .addColumn("name", "varchar(255)", (column) => column.notNull().primaryKey())
        .addColumn("timestamp", "varchar(255)", (column) => column.notNull())
        .execute();
    }
    await migrateStore(trx, target);
  });
}

/** PostgreSQL for Kysely, whose migrator takes no lock of its own: that would belong to a session. */
export function locklessDialect(pool: PostgresPool): Dialect {
  const dialect = new PostgresDialect({ pool });
  return {
    createAdapter: () => locklessAdapter,
    createDriver: () => dialect.createDriver(),
    createIntrospector: (db) => dialect.createIntrospector(db),
    createQueryCompiler: () => dialect.createQueryCompiler(),
  };
}

const locklessAdapter: DialectAdapter = {
  supportsCreateIfNotExists: true,
  supportsTransactionalDdl: true,
  supportsReturning: true,
  acquireMigrationLock: async () => {},
  releaseMigrationLock: async () => {},
};
