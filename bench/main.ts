import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { allowedCores } from "./harness/cores.ts";
import { h2loadVersion } from "./harness/h2load.ts";
import { undoAll } from "./harness/leftovers.ts";
import { isMet } from "./harness/row.ts";
import { describeSetup } from "./harness/setup.ts";
import { parts, partsNamed } from "./parts.ts";
import { plots } from "./report/bar-plot.ts";
import { consoleTable } from "./report/console-table.ts";
import { type BarredFigure, barredFigures } from "./report/figures.ts";
import { type Results, writeResults } from "./report/results-file.ts";
import { resultsPage } from "./report/results-page.ts";

// Runs the parts that are named, or all, and prints what they show. A part's results replace those of its last run in
// results.json, RESULTS.md and plots/. Ends with 1 when a part could not be measured; a bar that is not met is no error.

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    out: { type: "string", default: fileURLToPath(new URL(".", import.meta.url)) },
  },
});
const unknown = positionals.find((name) => partsNamed(name).length === 0);
if (unknown !== undefined) {
  print(`there is no part ${unknown}; usage: bench [--quick] [--out directory] [${[...parts.keys()].join("|")}]…`);
  process.exit(2);
}
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => process.exit(130));
}

const chosen = positionals.length === 0 ? [...parts.keys()] : [...new Set(positionals.flatMap(partsNamed))];
const setup = describeSetup(values.quick);
const barred: BarredFigure[] = [];
let failed = false;
print(`${setup.machine}; Node.js ${process.version}\n`);
for (const name of chosen) {
  const part = parts.get(name);
  const missing = part?.needsH2load === false ? undefined : whatIsMissing();
  if (missing !== undefined) {
    print(`${name} did not run: ${missing}\n`);
    continue;
  }
  const startedMs = performance.now();
  try {
    const rows = (await part?.run({ quick: values.quick })) ?? [];
    barred.push(...barredFigures(rows));
    save({ [name]: { setup, rows } });
    print(`${name}, ${((performance.now() - startedMs) / 1_000).toFixed(0)} s\n\n${consoleTable(rows)}`);
  } catch (error) {
    failed = true;
    print(`${name} failed: ${error instanceof Error ? error.stack : String(error)}\n`);
  } finally {
    undoAll();
  }
}
const met = barred.filter(({ of, bar }) => isMet(of, bar));
print(`${met.length} of ${barred.length} bars met; the results are in RESULTS.md`);
process.exit(failed ? 1 : 0);

function whatIsMissing(): string | undefined {
  if (h2loadVersion() === undefined) {
    return "h2load is not installed (apt-get install nghttp2-client)";
  }
  return allowedCores.length < 2 ? "it needs two cores" : undefined;
}

/** After each part, so that an end before the last one loses nothing. */
function save(fresh: Results): void {
  rmSync(`${values.out}/plots`, { recursive: true, force: true });
  mkdirSync(`${values.out}/plots`, { recursive: true });
  const all = writeResults(`${values.out}/results.json`, fresh, [...parts.keys()]);
  writeFileSync(`${values.out}/RESULTS.md`, resultsPage(all));
  const rows = Object.values(all).flatMap((result) => result.rows);
  for (const [name, svg] of plots(rows)) {
    writeFileSync(`${values.out}/plots/${name}`, svg);
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
