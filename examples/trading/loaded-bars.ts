import type { OperationContext } from "longhaul";
import { BarDatabase } from "./bar-database.ts";
import { readBarLines, sp500Path } from "./bar-file.ts";
import { barRangeFromMetadata } from "./bar-range.ts";
import { type Bar, barFromLine } from "./bars.ts";

/** Bars and where they were read. */
export interface LoadedBars {
  /** Oldest first, at least one. */
  readonly bars: readonly Bar[];
  readonly origin: "database" | "file";
}

/**
 * The bars an operation's metadata asks for: from the database if a data_load has completed there, otherwise straight
 * from the file. Warns when the caller named a database and it could not be used.
 */
export async function loadBars(context: OperationContext, database: string): Promise<LoadedBars> {
  const range = barRangeFromMetadata(context.metadata);
  const stored = BarDatabase.readLoaded(database, range);
  if (stored !== undefined && stored.length > 0) return { bars: stored, origin: "database" };
  const { database: named } = context.parameters;
  if (named !== undefined) {
    context.warn(
      `${database} does not hold all bars of ${range.symbol} asked for; they were read from the file instead`,
    );
  }
  const lines = await readBarLines(sp500Path(), range);
  return { bars: lines.map(barFromLine), origin: "file" };
}
