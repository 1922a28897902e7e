import { existsSync, readFileSync } from "node:fs";
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

test("the programs on the page about clients are those that are run", () => {
  const page = read("docs/clients.md");
  const programs = [...page.matchAll(/^`(test\/interop\/\S+)`:\n\n```\w+\n(.*?)\n```$/gms)];
  expect(programs.map(([, path]) => path?.split("/")[2])).toEqual(["python", "go", "java", "rust"]);
  for (const [, path = "", program] of programs) {
    expect(program, path).toBe(read(path).trim());
  }
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
  const named = [
    ...readme.matchAll(/npm (?:run )?(demo|test:interop|test:chaos|test:abuse|test|bench|check|generate|longhaul)\b/g),
  ].map(([, name]) => name);
  expect(new Set(named).difference(new Set(Object.keys(scripts)))).toEqual(new Set());
  expect(named.length).toBeGreaterThan(4);
});

test("the pages and files the README and its pages link to exist", () => {
  const pages = [
    "README.md",
    ...["replicas", "errors", "operations", "security", "clients"].map((name) => `docs/${name}.md`),
  ];
  const missing = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)]
      .map(([, target = ""]) => join(root, page, "..", target))
      .filter((target) => !existsSync(target)),
  );
  expect(missing).toEqual([]);
});

test("the page about replicas tells of every failure reason and the settings they need", () => {
  const page = read("docs/replicas.md");
  for (const name of ["PROCESS_RESTARTED", "HOST_LOST", "LONGHAUL_DATABASE_URL", "LONGHAUL_ADVERTISE_URL", "leaseMs"]) {
    expect(page).toContain(name);
  }
});
