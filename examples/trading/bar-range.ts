import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { OperationMetadata } from "longhaul";
import { barTimeMs } from "./bars.ts";

/** The only instrument of the example's data: the S&P 500 index. */
export const exampleSymbol = "SPX";

/** Which bars an operation works on. */
export interface BarRange {
  readonly symbol: string;
  /** Time of the first bar at the earliest, inclusive, in milliseconds since the epoch. */
  readonly fromMs: number;
  /** Time of the last bar at the latest, inclusive, in milliseconds since the epoch. */
  readonly toMs: number;
}

/**
 * Reads symbol, timeframe, start_date and end_date of an operation's metadata; what is unset means all there is.
 * Throws a RangeError naming the field when the data has no such symbol or bar size, or the range is upside down.
 */
export function barRangeFromMetadata(metadata: OperationMetadata): BarRange {
  const { symbol, timeframe, startDate, endDate } = metadata;
  if (symbol !== "" && symbol !== exampleSymbol) {
    throw new RangeError(`metadata.symbol: there is no data for "${symbol}", only for "${exampleSymbol}"`);
  }
  if (timeframe !== "" && timeframe !== "1d") {
    throw new RangeError(`metadata.timeframe: there are no bars of "${timeframe}", only of "1d"`);
  }
  const fromMs = startDate === undefined ? Number.NEGATIVE_INFINITY : timestampMs(startDate);
  const toMs = endDate === undefined ? Number.POSITIVE_INFINITY : timestampMs(endDate);
  if (fromMs > toMs) throw new RangeError("metadata.start_date: is after metadata.end_date");
  return { symbol: exampleSymbol, fromMs, toMs };
}

/** Whether a day belongs to the range. */
export function isInRange(range: BarRange, date: string): boolean {
  const time = barTimeMs(date);
  return time >= range.fromMs && time <= range.toMs;
}
