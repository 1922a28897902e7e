import { mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { Kysely, sql } from "kysely";
import type { OperationStore } from "../operations/operation-store.ts";
import { KyselyStore } from "./kysely-store.ts";
import { type MigrationTarget, migrateStore } from "./migrate-store.ts";
import { nodeSqliteDialect } from "./node-sqlite-dialect.ts";
import { OperationCounts } from "./operation-counts.ts";
import type { StoreTables } from "./schema.ts";
import { acquireServerLock } from "./server-lock.ts";
import { isSqliteFault, sqliteCode, sqliteCodeOf, sqliteTroubleOf } from "./sqlite-error.ts";
import { openSqliteFile } from "./sqlite-file.ts";
import { sqliteWriter } from "./sqlite-writer.ts";
import type { Trouble } from "./store-calls.ts";
import type { StoreWriter } from "./store-writes.ts";
import { type ThreadedWriter, threadedWriter } from "./threaded-writer.ts";
import { WriterThread, WriterThreadEnded } from "./writer-thread.ts";

/** A SQLite database whose schema is to be the newest. `place` names it in messages. */
export function sqliteTarget(place: string): MigrationTarget {
  const traits = { text: sql`text`, bytes: sql`blob`, clustered: sql`without rowid`, keepsCounts: true };
  return { traits, place, alternative: "another data directory" };
}

/**
 * How long the file is written in this thread, until one of its own is started: a server's start is not slowed down,
 * and a store that is open for moments, as in a test, has none. Milliseconds.
 */
const defaultThreadAfterMs = 250;
/** The same when the thread has ended, which it does not but by an error, such as too little memory. */
const threadAgainAfterMs = 5_000;

/** What may be said when a store is opened. */
export interface SqliteStoreOptions {
  /** Told why the database cannot be written, and with undefined when it can be again. Default nobody. */
  readonly onTrouble?: (reason: string | undefined) => void;
  /**
   * When a thread begins to write the file, in milliseconds after the store was opened. Default 250; with 0, the store
   * is opened when the thread is up. A store in memory has none.
   */
  readonly threadAfterMs?: number;
  /** Starts the thread that writes a file. */
  readonly startThread?: (file: string) => WriterThread;
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
  const database = openSqliteFile(file);
  try {
    const db = new Kysely<StoreTables>({ dialect: nodeSqliteDialect(database) });
    await migrateStore(db, sqliteTarget(place));
    const own = sqliteWriter(db);
    const { write, close } = file === ":memory:" ? inThisThread(own) : await inThread(file, own, options);
    return new KyselyStore({
      ...options,
      db,
      write,
      counts: new OperationCounts(db),
      troubleOf,
      isFault: isSqliteFault,
      async release() {
        await db.destroy();
        // Last, because whoever closes the file last copies the write-ahead log into it.
        await close();
        unlock();
      },
    });
  } catch (error) {
    database.close();
    throw error;
  }
}

function inThisThread(write: StoreWriter): ThreadedWriter {
  return { write, close: async () => {} };
}

function inThread(
  file: string,
  own: StoreWriter,
  { threadAfterMs = defaultThreadAfterMs, startThread = (path) => new WriterThread(path) }: SqliteStoreOptions,
): Promise<ThreadedWriter> {
  return threadedWriter({
    own,
    startThread: () => startThread(file),
    startAfterMs: threadAfterMs,
    restartAfterMs: threadAgainAfterMs,
  });
}

function troubleOf(error: unknown): Trouble | undefined {
  return error instanceof WriterThreadEnded ? { reason: error.message, readable: true } : sqliteTroubleOf(error);
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
