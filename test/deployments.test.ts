import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { greetingService } from "../examples/hello/services.ts";
import { refuseExposure } from "../src/access/exposure.ts";
import { type Config, resolveConfig } from "../src/config.ts";

const root = join(import.meta.dirname, "..");

/** A file of a deployment without its comments. */
function read(file: string): string {
  return readFileSync(join(root, file), "utf8").replaceAll(/^\s*#.*$/gm, "");
}

/** The variables that a file sets, in each of the ways that Compose, Kubernetes and Docker have for it. */
function environmentOf(text: string): Record<string, string> {
  const pairs = [
    ...text.matchAll(/^ +([A-Z][A-Z0-9_]*): (.+)$/gm),
    ...text.matchAll(/\{ name: ([A-Z][A-Z0-9_]*), value: ([^}]+) \}/g),
    ...text.matchAll(/- name: ([A-Z][A-Z0-9_]*)\n +value: (.+)$/gm),
    ...text.matchAll(/\b([A-Z][A-Z0-9_]*)=(\S+)/g),
  ];
  return Object.fromEntries(
    pairs.map(([, name = "", value = ""]) => {
      const known = value.replaceAll(/\$\{\w+:-([^}]*)\}/g, "$1").replaceAll(/\$\((\w+)\)/g, "$1");
      return [name, known.replace(/^"(.*)"$/, "$1")];
    }),
  );
}

/** How a server of the example is configured: by its image, and by what the example sets. */
function configOf(text: string): Config {
  return resolveConfig({ env: { ...environmentOf(read("deploy/Dockerfile")), ...environmentOf(text) } });
}

/** How long its servers get to stop, in milliseconds. */
function stopGracesMs(text: string): number[] {
  return [...text.matchAll(/(?:stop_grace_period|terminationGracePeriodSeconds): (\d+)s?$/gm)].map(
    ([, seconds]) => Number(seconds) * 1_000,
  );
}

const examples: readonly [string, RegExp][] = [
  ["deploy/docker-compose.yml", /^ {2}([a-z-]+):$/gm],
  ["deploy/kubernetes.yaml", /^kind: Service\nmetadata:\n {2}name: ([a-z-]+)$/gm],
];

describe.each(examples)("%s", (file, service) => {
  const text = read(file);
  const services = [...text.matchAll(service)].map(([, name]) => name);

  test("sets what servers start with, and nothing that is not a setting", () => {
    const config = configOf(text);
    expect(config.listenHost).toBe("0.0.0.0");
    expect(() => refuseExposure(config)).not.toThrow();
    expect(text).toMatch(/replicas: 3\n/);
  });

  test("leads the replicas to the database and to the host, which serves what is routed to it", () => {
    const { databaseUrl, advertiseUrl, routes, port } = configOf(text);
    expect(services).toContain(new URL(databaseUrl).hostname);
    expect(routes.map(({ operationType }) => operationType)).toEqual(Object.keys(greetingService.operations));
    for (const { hostname, port: routed } of routes.map(({ url }) => new URL(url))) {
      expect(services).toContain(hostname);
      expect(routed).toBe(`${port}`);
    }
    expect(advertiseUrl === "" || advertiseUrl.endsWith(`:${port}`)).toBe(true);
    const [, module = ""] = /"--services", "([^"]+)"/.exec(text) ?? [];
    expect(module).toBe("examples/hello/services.ts");
  });

  test("gives servers longer to stop than they may take", () => {
    const { drainGraceMs, shutdownGraceMs } = configOf(text);
    const graces = stopGracesMs(text);
    expect(graces.length).toBeGreaterThan(0);
    for (const graceMs of graces) {
      expect(graceMs).toBeGreaterThan(drainGraceMs + 2 * shutdownGraceMs);
    }
  });
});

test("the image is made of what there is", () => {
  const sources = [...read("deploy/Dockerfile").matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, names = ""]) =>
    names.split(" "),
  );
  expect(sources).toContain("examples/hello");
  expect(sources.filter((name) => !existsSync(join(root, name)))).toEqual([]);
});
