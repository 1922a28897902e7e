import { type Timestamp, timestampFromDate } from "@bufbuild/protobuf/wkt";

/** One trading day of an instrument. Prices in its currency. */
export interface Bar {
  /** The trading day, YYYY-MM-DD. */
  readonly date: string;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  /** The close corrected for splits and dividends; an index has none, so there it is the close. */
  readonly adjustedClose: number;
  /** Units traded on the day. */
  readonly volume: number;
}

/** First line of a file of bars. */
export const barHeader = "date,open,high,low,close,adjclose,volume";

const datePattern = /^\d{4}-\d{2}-\d{2}$/;

/**
 * Reads one line in the order of `barHeader`. Throws a RangeError naming the line when a column is missing, the day
 * does not exist, a price is not positive, or open or close lie outside low to high.
 */
export function barFromLine(line: string): Bar {
  const [date = "", ...columns] = line.split(",");
  const [open = 0, high = 0, low = 0, close = 0, adjustedClose = 0, volume = -1] = columns.map(Number);
  const bar = { date, open, high, low, close, adjustedClose, volume };
  const fault = faultOf(bar, columns.length);
  if (fault !== undefined) throw new RangeError(`bar "${line}": ${fault}`);
  return bar;
}

/** The time of a day's bar: midnight UTC, because the data has days and no times. Milliseconds since the epoch. */
export function barTimeMs(date: string): number {
  return Date.parse(`${date}T00:00:00Z`);
}

/** The time of a day's bar as metric records carry it. */
export function barTimestamp(date: string): Timestamp {
  return timestampFromDate(new Date(barTimeMs(date)));
}

function faultOf(bar: Bar, columns: number): string | undefined {
  if (columns !== 6) return `has ${columns + 1} columns instead of 7`;
  if (!isDay(bar.date)) return "the date is not a day as YYYY-MM-DD";
  const prices = [bar.open, bar.high, bar.low, bar.close, bar.adjustedClose];
  if (!prices.every((price) => Number.isFinite(price) && price > 0)) return "a price is not a positive number";
  if (!(Number.isFinite(bar.volume) && bar.volume >= 0)) return "the volume is not a number of at least 0";
  if (bar.low > Math.min(bar.open, bar.close) || bar.high < Math.max(bar.open, bar.close)) {
    return "open or close lie outside low to high";
  }
  return undefined;
}

// Date.parse turns 31 February into a day of March, so the day must come back as it went in.
function isDay(date: string): boolean {
  if (!datePattern.test(date)) return false;
  const time = barTimeMs(date);
  return Number.isFinite(time) && new Date(time).toISOString().startsWith(date);
}
