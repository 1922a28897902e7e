import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { failureReasons } from "../src/operations/operation-errors.ts";
import { settings } from "../src/settings.ts";

const root = join(import.meta.dirname, "..");
const read = (path: string) => readFileSync(join(root, path), "utf8");
const readme = read("README.md");

test("the README's host is the one in the examples, and has at most 25 lines", () => {
  const host = read("examples/hello/services.ts").trim();
  expect(readme).toContain(`\`\`\`ts\n${host}\n\`\`\``);
  expect(host.split("\n").length).toBeLessThanOrEqual(25);
});

test("the README's configuration table is the table of settings", () => {
  const rows = Object.entries(settings).map(([key, { env, default: value, description }]) => {
    const shown = value === "" ? "none" : `\`${value}\``;
    return `| \`${key}\` | \`${env}\` | ${shown} | ${description} |`;
  });
  const table = readme.slice(readme.indexOf("| key | environment |"), readme.indexOf("Routes: `USE_"));
  expect(table.trim().split("\n").slice(2)).toEqual(rows);
});

test("the README explains every reason the registry gives a FAILED operation", () => {
  const missing = Object.keys(failureReasons).filter((reason) => !readme.includes(reason));
  expect(missing).toEqual([]);
});

test("the scripts the README names exist", () => {
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  const named = [...readme.matchAll(/npm (?:run )?(demo|test|bench|check|generate|longhaul)\b/g)].map(
    ([, name]) => name,
  );
  expect(new Set(named).difference(new Set(Object.keys(scripts)))).toEqual(new Set());
  expect(named.length).toBeGreaterThan(4);
});
