import { readFile } from "node:fs/promises";
import { findPackageJSON } from "node:module";
import { dirname, join } from "node:path";
import { type BarRange, isInRange } from "./bar-range.ts";
import { barHeader } from "./bars.ts";

/** The daily bars of the S&P 500 from 2000-01-03 to 2020-04-17 in the npm package vega-datasets. */
export function sp500Path(): string {
  const manifest = findPackageJSON("vega-datasets", import.meta.url);
  if (manifest === undefined) throw new Error("the npm package vega-datasets is not installed");
  return join(dirname(manifest), "data", "sp500-2000.csv");
}

/**
 * Reads the lines of a file of bars that belong to the range, oldest first and not yet parsed.
 * Throws a RangeError when the header is another one, the days do not ascend, or no line is in the range.
 */
export async function readBarLines(path: string, range: BarRange): Promise<string[]> {
  const [header, ...lines] = (await readFile(path, "utf8")).trimEnd().split("\n");
  if (header !== barHeader) throw new RangeError(`${path}: the header is "${header}" instead of "${barHeader}"`);
  let previous = "";
  for (const line of lines) {
    const date = dateOf(line);
    if (date <= previous) throw new RangeError(`${path}: ${date} comes after ${previous}`);
    previous = date;
  }
  const selected = lines.filter((line) => isInRange(range, dateOf(line)));
  if (selected.length === 0) throw new RangeError("metadata.start_date: there are no bars up to metadata.end_date");
  return selected;
}

function dateOf(line: string): string {
  return line.slice(0, line.indexOf(","));
}
