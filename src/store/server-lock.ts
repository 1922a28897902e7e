import { DatabaseSync } from "node:sqlite";
import { sqliteCode, sqliteCodeOf } from "./sqlite-error.ts";

/**
 * Holds a file for this server alone and answers the function that lets it go. The operating system lets it go when the
 * process ends, however it ends. Throws an Error when another server holds it; `place` names what it guards.
 *
 * The lock is that of an empty SQLite database. Nothing else in the process may open the file: closing any descriptor
 * of a file releases the process's POSIX locks on it.
 */
export function acquireServerLock(path: string, place: string): () => void {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    // No journal, so that the lock file has no companions.
    database.exec("pragma locking_mode = exclusive; pragma journal_mode = off; begin exclusive");
  } catch (error) {
    database.close();
    if (sqliteCodeOf(error) === sqliteCode.busy) {
      throw new Error(`${place} is used by another longhaul server; stop that one or use another data directory`);
    }
    throw error;
  }
  return () => database.close();
}
