import { mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Kysely, sql } from "kysely";
import type { OperationStore } from "../operations/operation-store.ts";
import { groupCommit } from "./group-commit.ts";
import { KyselyStore } from "./kysely-store.ts";
import { type MigrationTarget, migrateStore } from "./migrate-store.ts";
import { nodeSqliteDialect } from "./node-sqlite-dialect.ts";
import { OperationCounts } from "./operation-counts.ts";
import type { StoreTables } from "./schema.ts";
import { acquireServerLock } from "./server-lock.ts";
import { isSqliteFault, sqliteCode, sqliteCodeOf, sqliteTroubleOf } from "./sqlite-error.ts";

/** A SQLite database whose schema is to be the newest. `place` names it in messages. */
export function sqliteTarget(place: string): MigrationTarget {
  const traits = { text: sql`text`, bytes: sql`blob`, clustered: sql`without rowid`, keepsCounts: true };
  return { traits, place, alternative: "another data directory" };
}

/** Set on every open: most of them are not kept in the file. */
const pragmas = `
  -- Other programs that write to the file are waited for, in milliseconds; meanwhile the event loop stands still.
  pragma busy_timeout = 1000;
  pragma journal_mode = wal;
  -- A commit is on the disk, not only with the operating system.
  pragma synchronous = full;
  pragma foreign_keys = on;
  pragma temp_store = memory;
  -- 32 MiB.
  pragma cache_size = -32768;
  -- The write-ahead log shrinks to 64 MiB again after a burst.
  pragma journal_size_limit = 67108864;
`;

/** What may be said when a store is opened. */
export interface SqliteStoreOptions {
  /** Told why the database cannot be written, and with undefined when it can be again. Default nobody. */
  readonly onTrouble?: (reason: string | undefined) => void;
}

/**
 * Opens the store in a SQLite file, making the file and its directory when there are none; ":memory:" is a store that
 * ends with the process. One server at a time can have a file open, which `<path>.lock` sees to; other programs may
 * read it.
 *
 * Throws an Error that names the path when it cannot be created or written, when it is not a database or locked, when
 * another server uses it, and when a newer longhaul has written it.
 */
export async function openSqliteStore(path: string, options: SqliteStoreOptions = {}): Promise<OperationStore> {
  if (path === ":memory:") {
    return openStore(path, path, options, () => {});
  }
  const file = resolve(path);
  const place = `the database ${file}`;
  makeDirectory(dirname(file));
  const unlock = explained(place, () => acquireServerLock(`${file}.lock`, place));
  try {
    return await openStore(file, place, options, unlock);
  } catch (error) {
    unlock();
    throw explain(place, error);
  }
}

async function openStore(
  file: string,
  place: string,
  options: SqliteStoreOptions,
  unlock: () => void,
): Promise<OperationStore> {
  const database = new DatabaseSync(file);
  try {
    database.exec(pragmas);
    const db = new Kysely<StoreTables>({ dialect: nodeSqliteDialect(database) });
    await migrateStore(db, sqliteTarget(place));
    const counts = new OperationCounts(db);
    const release = async () => {
      await db.destroy();
      unlock();
    };
    return new KyselyStore({
      ...options,
      db,
      transact: groupCommit(db, {
        failsAll: (error) => sqliteTroubleOf(error) !== undefined,
        beforeCommit: (trx) => counts.write(trx),
      }),
      // One server, and one transaction at a time.
      lockRows: false,
      counts,
      troubleOf: sqliteTroubleOf,
      isFault: isSqliteFault,
      release,
    });
  } catch (error) {
    database.close();
    throw error;
  }
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true });
  } catch (cause) {
    throw new Error(`the data directory ${directory} cannot be created: ${messageOf(cause)}; use another one`, {
      cause,
    });
  }
}

function explained<T>(place: string, open: () => T): T {
  try {
    return open();
  } catch (error) {
    throw explain(place, error);
  }
}

/** Says of which place an error of SQLite speaks, and what to do; other errors are clear as they are. */
function explain(place: string, cause: unknown): unknown {
  const code = sqliteCodeOf(cause);
  switch (code) {
    case undefined:
      return cause;
    case sqliteCode.busy:
      return new Error(`${place} is locked by another program; close that one and start again`, { cause });
    case sqliteCode.notADatabase:
      return new Error(`${place} is not a SQLite database; move the file away or use another path`, { cause });
    case sqliteCode.cannotOpen:
    case sqliteCode.readOnly:
      return new Error(
        `${place} cannot be written: ${messageOf(cause)}; make the file and its directory writable or use another path`,
        { cause },
      );
    default:
      return new Error(`${place} cannot be opened: ${messageOf(cause)}`, { cause });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
