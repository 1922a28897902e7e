import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => join("src", path));

/** What each part may import beside itself, gen/ and packages. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  progress: [],
  cancellation: [],
  files: [],
  client: ["files"],
  tracing: [],
  operations: ["progress", "cancellation", "tracing"],
  replicas: ["operations", "hosts", "client"],
  store: ["operations", "progress", "replicas"],
  hosts: ["operations", "progress", "client", "tracing"],
  orchestrator: ["operations", "progress", "cancellation", "tracing"],
  listener: [],
  access: ["operations", "client", "files"],
  rpc: ["operations", "access", "listener", "tracing"],
  telemetry: ["operations", "rpc", "tracing"],
  "settings.ts": [],
  "config.ts": ["settings.ts"],
  "server.ts": [
    "config.ts",
    "access",
    "cancellation",
    "client",
    "hosts",
    "listener",
    "operations",
    "orchestrator",
    "replicas",
    "rpc",
    "store",
    "telemetry",
  ],
  cli: ["config.ts", "settings.ts", "client", "server.ts", "cancellation", "telemetry"],
};

/** The relative imports of a file, as paths from the root. */
function importsOf(path: string): string[] {
  const text = readFileSync(join(root, path), "utf8");
  const pattern = /(?:^|\n)\s*(?:import|export)\b[^;]*?from\s+"(\.[^"]+)"|import\("(\.[^"]+)"\)/g;
  return [...text.matchAll(pattern)].map((match) => normalize(join(dirname(path), match[1] ?? match[2] ?? "")));
}

/** The folder below src, or the file right in it. */
function partOf(path: string): string {
  return path.split("/")[1] ?? "";
}

describe("architecture", () => {
  test("imports run one way between the parts", () => {
    const wrong = sources
      .filter((path) => path !== "src/index.ts")
      .flatMap((path) =>
        importsOf(path)
          .filter((target) => target.startsWith("src/") && partOf(target) !== partOf(path))
          .filter((target) => !mayImport[partOf(path)]?.includes(partOf(target)))
          .map((target) => `${path} imports ${target}`),
      );
    expect(wrong).toEqual([]);
  });

  test("every part is named in the rules", () => {
    const parts = new Set(sources.map(partOf).filter((part) => part !== "index.ts"));
    expect([...parts].sort()).toEqual(Object.keys(mayImport).sort());
  });

  test("there are no import cycles", () => {
    const graph = new Map(sources.map((path) => [path, importsOf(path).filter((target) => target.startsWith("src/"))]));
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) {
        cycles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
        return;
      }
      if (!done.has(path)) {
        for (const target of graph.get(path) ?? []) {
          visit(target, [...trail, path]);
        }
        done.add(path);
      }
    };
    for (const path of sources) {
      visit(path, []);
    }
    expect(cycles).toEqual([]);
  });

  test("only config.ts reads the environment", () => {
    const readers = sources.filter((path) => readFileSync(join(root, path), "utf8").includes("process.env"));
    expect(readers).toEqual(["src/config.ts"]);
  });
});
