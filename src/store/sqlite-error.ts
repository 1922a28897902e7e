/** Result codes of SQLite that mean something to us, see https://www.sqlite.org/rescode.html. */
export const sqliteCode = { busy: 5, readOnly: 8, cannotOpen: 14, notADatabase: 26 } as const;

/** Whether an error is SQLite's own, with this result code or one that extends it. */
export function isSqliteError(error: unknown, code: number): error is Error {
  return (
    error instanceof Error && "errcode" in error && typeof error.errcode === "number" && (error.errcode & 0xff) === code
  );
}
