import { join } from "node:path";
import { expect, test } from "vitest";
import { readResults, writeResults } from "../../bench/report/results-file.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const result = (date: string) => ({
  setup: { machine: "2 × CPU", versions: {}, date, isQuick: false },
  rows: [],
});

test("a run of one part replaces its results alone, and the order of the parts stays", async () => {
  const path = join(await temporaryDirectory(), "results.json");
  expect(readResults(path)).toEqual({});
  writeResults(path, { store: result("2026-01-01"), rpc: result("2026-01-01") }, ["rpc", "store"]);
  writeResults(path, { store: result("2026-01-02") }, ["rpc", "store"]);
  expect(Object.entries(readResults(path)).map(([part, { setup }]) => [part, setup.date])).toEqual([
    ["rpc", "2026-01-01"],
    ["store", "2026-01-02"],
  ]);
});
