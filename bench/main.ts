import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { allowedCores } from "./harness/cores.ts";
import { h2loadVersion } from "./harness/h2load.ts";
import { undoAll } from "./harness/leftovers.ts";
import { describeSetup } from "./harness/setup.ts";
import { parts, partsNamed } from "./parts.ts";
import { plots } from "./report/bar-plot.ts";
import { consoleTable } from "./report/console-table.ts";
import { barredFigures, verdict } from "./report/figures.ts";
import { type PartResult, writeResults } from "./report/results-file.ts";
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
const results: Record<string, PartResult> = {};
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
    results[name] = { setup, rows };
    print(`${name}, ${((performance.now() - startedMs) / 1_000).toFixed(0)} s\n\n${consoleTable(rows)}`);
  } catch (error) {
    failed = true;
    print(`${name} failed: ${error instanceof Error ? error.stack : String(error)}\n`);
  } finally {
    undoAll();
  }
}
save();
process.exit(failed ? 1 : 0);

function whatIsMissing(): string | undefined {
  if (h2loadVersion() === undefined) {
    return "h2load is not installed (apt-get install nghttp2-client)";
  }
  return allowedCores.length < 2 ? "it needs two cores" : undefined;
}

function save(): void {
  const all = writeResults(`${values.out}/results.json`, results, [...parts.keys()]);
  writeFileSync(`${values.out}/RESULTS.md`, resultsPage(all));
  rmSync(`${values.out}/plots`, { recursive: true, force: true });
  mkdirSync(`${values.out}/plots`);
  const rows = Object.values(all).flatMap((result) => result.rows);
  for (const [name, svg] of plots(rows)) {
    writeFileSync(`${values.out}/plots/${name}`, svg);
  }
  const bars = barredFigures(Object.values(results).flatMap((result) => result.rows));
  const met = bars.filter(({ of, bar }) => verdict(of, bar) === "met");
  print(`${met.length} of ${bars.length} bars met; the results are in RESULTS.md`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
