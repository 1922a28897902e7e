import type { Trouble } from "./store-calls.ts";

/** Result codes of SQLite that mean something to us, see https://www.sqlite.org/rescode.html. */
export const sqliteCode = {
  busy: 5,
  readOnly: 8,
  inputOutput: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  notADatabase: 26,
} as const;

/** The primary result code of an error of SQLite; undefined for other errors. */
export function sqliteCodeOf(error: unknown): number | undefined {
  if (!(error instanceof Error && "errcode" in error && typeof error.errcode === "number")) {
    return undefined;
  }
  return error.errcode & 0xff;
}

/** What is wrong with the disk, by the codes that say so. It can be read all the same. */
const diskTroubles: ReadonlyMap<number, string> = new Map([
  [sqliteCode.full, "the disk is full"],
  [sqliteCode.inputOutput, "the disk reports an input/output error"],
  [sqliteCode.readOnly, "the database file cannot be written"],
  [sqliteCode.cannotOpen, "a file of the database cannot be opened"],
  [sqliteCode.corrupt, "the database file is damaged"],
]);

/** Whether an error means that the database cannot be written at all, rather than that one call has failed. */
export function sqliteTroubleOf(error: unknown): Trouble | undefined {
  const reason = diskTroubles.get(sqliteCodeOf(error) ?? 0);
  return reason === undefined ? undefined : { reason, readable: true };
}

/** Whether an error is none of SQLite's, but one of ours in reading what it has. */
export function isSqliteFault(error: unknown): boolean {
  return sqliteCodeOf(error) === undefined;
}
