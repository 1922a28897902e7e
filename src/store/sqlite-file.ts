import { DatabaseSync } from "node:sqlite";

/** Set on every open: most of them are not kept in the file. */
const pragmas = `
  -- Other programs that write to the file are waited for, in milliseconds; meanwhile the thread stands still.
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

/** Opens a database file as the store uses it, in every thread. Throws the error of SQLite when it cannot. */
export function openSqliteFile(file: string): DatabaseSync {
  const database = new DatabaseSync(file);
  try {
    database.exec(pragmas);
  } catch (error) {
    database.close();
    throw error;
  }
  return database;
}
