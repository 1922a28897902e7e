import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type MetricsPage, metricsPage } from "../support/metrics-page.ts";
import { startTestServer } from "../support/test-server.ts";

const root = join(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(root, path), "utf8");
const dashboard = read("deploy/grafana-dashboard.json");
const operationsPage = read("docs/operations.md");

/** The metrics that a text names; those of a histogram by its own name. */
function metricsIn(text: string, types: ReadonlyMap<string, string>): Set<string> {
  const names = text.match(/\b(?:longhaul|nodejs|process)_[a-z0-9_]*[a-z0-9]\b/g) ?? [];
  return new Set(
    names.map((name) => {
      const base = name.replace(/_(bucket|sum|count)$/, "");
      return types.get(base) === "histogram" ? base : name;
    }),
  );
}

async function servedMetrics(): Promise<MetricsPage> {
  return metricsPage((await startTestServer({ settings: { adminPort: "0" } })).adminUrl);
}

test("every metric that the dashboard asks for is served", async () => {
  const { types } = await servedMetrics();
  const asked = metricsIn(dashboard, types);
  expect(asked.size).toBeGreaterThan(10);
  expect(asked.difference(new Set(types.keys()))).toEqual(new Set());
});

test("every metric of longhaul is on the dashboard", async () => {
  const { types } = await servedMetrics();
  const own = new Set([...types.keys()].filter((name) => name.startsWith("longhaul_")));
  expect(own.difference(metricsIn(dashboard, types))).toEqual(new Set());
});

test("the page about operations names every metric of longhaul with its type, and none that there is not", async () => {
  const { types } = await servedMetrics();
  const rows = [...operationsPage.matchAll(/^\| `(longhaul_\w+)` \| (\w+) \|/gm)].map(([, name, type]) => [name, type]);
  const own = [...types].filter(([name]) => name.startsWith("longhaul_"));
  expect(rows.sort()).toEqual(own.sort());
  expect(metricsIn(operationsPage, types).difference(new Set(types.keys()))).toEqual(new Set());
});

test("the dashboard's panels have ids and places of their own", () => {
  const { panels } = JSON.parse(dashboard) as { panels: { id: number; gridPos: { x: number; y: number } }[] };
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  expect(new Set(panels.map(({ gridPos: { x, y } }) => `${x},${y}`)).size).toBe(panels.length);
});
