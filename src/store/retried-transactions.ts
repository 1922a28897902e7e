import { setTimeout } from "node:timers/promises";
import type { Kysely } from "kysely";
import { isConflict, isMisplacedStatement } from "./postgres-error.ts";
import type { StoreTables } from "./schema.ts";
import type { Transact } from "./transact.ts";

/** How often a call is tried, and the longest pauses between: they double. Milliseconds. */
const attempts = 10;
const firstPauseMs = 4;
const longestPauseMs = 200;

/**
 * Writes for a database whose transactions run side by side: each has one of its own. Where one was undone because of
 * another, it is run again; other errors go up, because what failed at its end may have been done.
 */
export function retriedTransactions(db: Kysely<StoreTables>): Transact {
  return (_rows, write) => retried(() => db.transaction().execute(write));
}

/**
 * Runs a call until it does not fail because of another one, up to 10 times; or because of a prepared statement, which
 * it then does without.
 */
export async function retried<T>(call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (attempt === attempts || !(isConflict(error) || isMisplacedStatement(error))) {
        throw error;
      }
    }
    // Of random length, so that those who got in each other's way do not meet again.
    await setTimeout(Math.random() * Math.min(firstPauseMs * 2 ** attempt, longestPauseMs));
  }
}
