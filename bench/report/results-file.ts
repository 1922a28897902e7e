import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { Row } from "../harness/row.ts";

/** What a part's figures were measured on. */
export interface Setup {
  readonly machine: string;
  /** Versions of what took part, by name. */
  readonly versions: Readonly<Record<string, string>>;
  /** "2026-11-25". */
  readonly date: string;
  /** The short rounds of --quick. */
  readonly isQuick: boolean;
}

/** What a part has shown, or why it has not run. */
export interface PartResult {
  readonly setup: Setup;
  readonly rows: readonly Row[];
}

/** The last result of each part, by its name. */
export type Results = Readonly<Record<string, PartResult>>;

/** Reads the results; empty when there are none. */
export function readResults(path: string): Results {
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : {};
}

/** Replaces the results of some parts and keeps the others. The parts are in the order given. */
export function writeResults(path: string, fresh: Results, order: readonly string[]): Results {
  const all = { ...readResults(path), ...fresh };
  const results = Object.fromEntries(
    order.flatMap((part) => {
      const result = all[part];
      return result ? [[part, result]] : [];
    }),
  );
  writeFileSync(path, `${JSON.stringify(results, undefined, 2)}\n`);
  return results;
}
