import { type Kysely, sql } from "kysely";
import { Migrator } from "kysely/migration";
import { type SchemaTraits, storeMigrations } from "./migrations.ts";
import type { StoreTables } from "./schema.ts";

/** A database whose schema is to be the newest. */
export interface MigrationTarget {
  readonly traits: SchemaTraits;
  /** Names it in messages. */
  readonly place: string;
  /** What can be used instead, for messages: "another database". */
  readonly alternative: string;
  /** The schema that has the tables, where a database has several. Default the only one. */
  readonly schema?: string;
}

/** Where Kysely keeps the names of the migrations a database has seen. */
export const migrationTable = "kysely_migration";

/**
 * Brings a database to the newest schema. Throws an Error when a newer longhaul or another program has written it, or
 * when a migration fails; then nothing has changed.
 */
export async function migrateStore(db: Kysely<StoreTables>, target: MigrationTarget): Promise<void> {
  const { traits, schema } = target;
  missingMigrations(await executedMigrations(db, schema), target);
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => storeMigrations(traits) },
    ...(schema !== undefined && { migrationTableSchema: schema }),
  });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) {
    throw error;
  }
}

/** The migrations that a database needs still. Throws an Error when a newer longhaul or another program has written it. */
export function missingMigrations(
  executed: readonly string[],
  { traits, place, alternative }: MigrationTarget,
): string[] {
  const known = Object.keys(storeMigrations(traits)).sort();
  const [oldest] = executed;
  if (oldest !== undefined && oldest !== known[0]) {
    throw new Error(`${place} has the tables of another program, beginning with "${oldest}"; use ${alternative}`);
  }
  const newest = executed.at(-1);
  if (newest !== undefined && !known.includes(newest)) {
    throw new Error(
      `${place} has the schema "${newest}" of a newer longhaul, this one knows schemas up to "${known.at(-1)}"; ` +
        `run the newer longhaul or use ${alternative}`,
    );
  }
  return known.slice(executed.length);
}

/** The names of the migrations that a database with such a table has seen, in their order. */
export async function readMigrations(db: Kysely<StoreTables>, schema?: string): Promise<string[]> {
  const table = schema === undefined ? sql.id(migrationTable) : sql.id(schema, migrationTable);
  const { rows } = await sql<{ name: string }>`select name from ${table}`.execute(db);
  return rows.map(({ name }) => name).sort();
}

async function executedMigrations(db: Kysely<StoreTables>, schema: string | undefined): Promise<string[]> {
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true });
  const isThere = tables.some(
    (table) => table.name === migrationTable && (schema === undefined || table.schema === schema),
  );
  return isThere ? readMigrations(db, schema) : [];
}
