import { type Bar, isMet, type Ratio, type Row, type Spread } from "../harness/row.ts";

/** A figure with three digits that count. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) {
    return "–";
  }
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value) || 1)));
  return value.toLocaleString("en", {
    minimumFractionDigits: Math.min(digits, 3),
    maximumFractionDigits: Math.min(digits, 3),
  });
}

/** "1.42–1.61". */
export function range({ p10, p90 }: Spread): string {
  return `${figure(p10)}–${figure(p90)}`;
}

/** "≤ 1.6". */
export function barText(bar: Bar): string {
  return "atMost" in bar ? `≤ ${figure(bar.atMost)}` : `≥ ${figure(bar.atLeast)}`;
}

/** "met" or "not met". */
export function verdict(of: Spread, bar: Bar): string {
  return isMet(of, bar) ? "met" : "not met";
}

/** A figure or a ratio that has a bar. */
export interface BarredFigure {
  readonly row: Row;
  /** Undefined when the bar is on the row's own figure. */
  readonly ratio: Ratio | undefined;
  readonly of: Spread;
  readonly bar: Bar;
}

/** All that have to keep to a bar, in the order of the rows. */
export function barredFigures(rows: readonly Row[]): BarredFigure[] {
  return rows.flatMap((row) => [
    ...(row.bar ? [{ row, ratio: undefined, of: row.value, bar: row.bar }] : []),
    ...(row.ratios ?? []).flatMap((ratio) => (ratio.bar ? [{ row, ratio, of: ratio.of, bar: ratio.bar }] : [])),
  ]);
}

/** Rows by their question, in the order in which they first come. */
export function byQuestion(rows: readonly Row[]): ReadonlyMap<string, readonly Row[]> {
  return Map.groupBy(rows, ({ question }) => question);
}
