import type { Kysely } from "kysely";
import { groupCommit } from "./group-commit.ts";
import { OperationCounts } from "./operation-counts.ts";
import type { StoreTables } from "./schema.ts";
import { sqliteTroubleOf } from "./sqlite-error.ts";
import { type StoreWriter, storeWriter } from "./store-writes.ts";

/** Runs writes on a SQLite file that nobody else writes meanwhile, several in one commit, and counts operations. */
export function sqliteWriter(db: Kysely<StoreTables>): StoreWriter {
  const counts = new OperationCounts(db);
  const transact = groupCommit(db, {
    failsAll: (error) => sqliteTroubleOf(error) !== undefined,
    beforeCommit: (trx) => counts.write(trx),
  });
  // One server, and one transaction at a time.
  return storeWriter({ db, transact, lockRows: false, counts });
}
