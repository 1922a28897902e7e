/** Result codes of SQLite that mean something to us, see https://www.sqlite.org/rescode.html. */
export const sqliteCode = { busy: 5, readOnly: 8, cannotOpen: 14, notADatabase: 26 } as const;

/** The primary result code of an error of SQLite; undefined for other errors. */
export function sqliteCodeOf(error: unknown): number | undefined {
  if (!(error instanceof Error && "errcode" in error && typeof error.errcode === "number")) {
    return undefined;
  }
  return error.errcode & 0xff;
}
