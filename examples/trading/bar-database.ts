// I1. A symbol has at most one bar of a day; writing it again replaces it.
// I2. A symbol counts as loaded only while its row in `loads` stands, and only within the range that row names. A load
//     removes the row before it writes bars and puts it back after they are verified, so a load cut off at any instant
//     leaves no half-loaded symbol to readers.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type BarRange, isInRange } from "./bar-range.ts";
import type { Bar } from "./bars.ts";

/** Where bars are kept unless the parameter `database` says otherwise; relative to the working directory. */
export const defaultDatabase = "longhaul-data/trading.sqlite";

const schema = `
  CREATE TABLE IF NOT EXISTS bars (
    symbol TEXT NOT NULL, date TEXT NOT NULL,
    open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL,
    adjusted_close REAL NOT NULL, volume REAL NOT NULL,
    PRIMARY KEY (symbol, date)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS loads (
    symbol TEXT PRIMARY KEY, from_ms REAL NOT NULL, to_ms REAL NOT NULL, checksum TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

/** A SQLite file of daily bars. Every call is synchronous; writers in other processes are waited for up to 5 s. */
export class BarDatabase {
  readonly #database: DatabaseSync;

  /**
   * Opens the file; unless `readOnly`, makes it and its folder where they are missing. Default: to write.
   * Throws an Error naming the file when it is no database or cannot be opened.
   */
  constructor(path: string, { readOnly = false }: { readonly readOnly?: boolean } = {}) {
    this.#database = openDatabase(path, readOnly);
  }

  /** The bars of a range if all of it is loaded (I2), oldest first; undefined otherwise. Never makes a file. */
  static readLoaded(path: string, range: BarRange): Bar[] | undefined {
    if (!existsSync(path)) return undefined;
    using database = new BarDatabase(path, { readOnly: true });
    return database.#isLoaded(range) ? database.read(range) : undefined;
  }

  /** Makes the tables where they are missing and takes the symbol's mark of being loaded away (I2). */
  prepare(symbol: string): void {
    this.#database.exec(schema);
    this.#database.prepare("DELETE FROM loads WHERE symbol = ?").run(symbol);
  }

  /** Writes bars in one transaction, replacing those of the same day (I1). */
  write(symbol: string, bars: readonly Bar[]): void {
    const upsert = this.#database.prepare("INSERT OR REPLACE INTO bars VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    this.#transaction(() => {
      for (const bar of bars) {
        upsert.run(symbol, bar.date, bar.open, bar.high, bar.low, bar.close, bar.adjustedClose, bar.volume);
      }
    });
  }

  /** The bars of a range, oldest first. */
  read(range: BarRange): Bar[] {
    const select = this.#database.prepare(
      `SELECT date, open, high, low, close, adjusted_close AS adjustedClose, volume
       FROM bars WHERE symbol = ? ORDER BY date`,
    );
    // The columns are STRICT and named as in Bar.
    const bars = select.all(range.symbol) as unknown as Bar[];
    return bars.filter((bar) => isInRange(range, bar.date));
  }

  /** Makes the index for questions about one day across symbols. */
  index(): void {
    this.#database.exec("CREATE INDEX IF NOT EXISTS bars_by_date ON bars (date, symbol)");
  }

  /** Marks the range as loaded (I2). */
  markLoaded(range: BarRange, checksum: string): void {
    const mark = this.#database.prepare("INSERT OR REPLACE INTO loads VALUES (?, ?, ?, ?)");
    mark.run(range.symbol, range.fromMs, range.toMs, checksum);
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#database.close();
  }

  #isLoaded(range: BarRange): boolean {
    const tables = this.#database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'loads'");
    if (tables.get() === undefined) return false;
    const covering = this.#database.prepare("SELECT 1 FROM loads WHERE symbol = ? AND from_ms <= ? AND to_ms >= ?");
    return covering.get(range.symbol, range.fromMs, range.toMs) !== undefined;
  }

  #transaction(work: () => void): void {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#database.exec("COMMIT");
    } catch (error) {
      this.#database.exec("ROLLBACK");
      throw error;
    }
  }
}

function openDatabase(path: string, readOnly: boolean): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    if (!readOnly) mkdirSync(dirname(path), { recursive: true });
    database = new DatabaseSync(path, { timeout: 5000, readOnly });
    // SQLite looks at a file only when it is first asked something.
    // NORMAL may lose the last transactions at a power cut, never their order: I2 holds, and bars can be loaded again.
    database.exec(readOnly ? "PRAGMA schema_version" : "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    return database;
  } catch (cause) {
    database?.close();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`parameters.database: ${path} cannot be used as a SQLite file: ${reason}`, { cause });
  }
}

/** SHA-256 over the bars' values in their order, in hexadecimal: equal exactly when all values are. */
export function checksumOfBars(bars: Iterable<Bar>): string {
  const hash = createHash("sha256");
  for (const bar of bars) {
    hash.update(`${bar.date},${bar.open},${bar.high},${bar.low},${bar.close},${bar.adjustedClose},${bar.volume}\n`);
  }
  return hash.digest("hex");
}
