import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ConfigError, describeConfig, resolveConfig } from "../src/config.ts";
import { settings } from "../src/settings.ts";
import { temporaryDirectory } from "./support/temporary-directory.ts";

/** A configuration file with this text, removed with the test. */
async function fileWith(text: string): Promise<string> {
  const path = join(await temporaryDirectory(), "longhaul.json");
  writeFileSync(path, text);
  return path;
}

/** The message of the ConfigError that resolving throws. */
function problem(...[sources]: Parameters<typeof resolveConfig>): string {
  try {
    resolveConfig({ env: {}, ...sources });
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).message;
  }
  throw new Error("the configuration was accepted");
}

describe("the configuration", () => {
  test("has a value for every setting without anything given", () => {
    const config = resolveConfig({ env: {} });
    const defaults = Object.fromEntries(Object.entries(settings).map(([key, setting]) => [key, setting.default]));
    expect(config).toEqual({ ...defaults, routes: [], otel: {} });
    expect(config).toMatchObject({ listenHost: "127.0.0.1", port: 50_051, cacheTtlMs: 1_000, retentionMs: 86_400_000 });
  });

  test("cannot be changed", () => {
    const config = resolveConfig({ env: {} });
    expect(() => Object.assign(config, { port: 1 })).toThrow(TypeError);
    expect(() => (config.routes as unknown[]).push("x")).toThrow(TypeError);
  });

  test("takes flags over the environment over the file over the defaults", async () => {
    const file = await fileWith('{"port": 1, "cacheTtlMs": 1, "maxHops": 1}');
    const config = resolveConfig({
      flags: { port: "3" },
      env: { LONGHAUL_PORT: "2", LONGHAUL_CACHE_TTL_MS: "2" },
      file,
    });
    expect(config).toMatchObject({ port: 3, cacheTtlMs: 2, maxHops: 1, sweepIntervalMs: 30_000 });
  });

  test("finds its file through the environment", async () => {
    const file = await fileWith('{"dataDir": "/var/lib/longhaul"}');
    expect(resolveConfig({ env: { LONGHAUL_CONFIG_FILE: file } }).dataDir).toBe("/var/lib/longhaul");
  });

  test("takes an empty variable for an unset one", () => {
    const env = { LONGHAUL_PORT: "", LONGHAUL_CONFIG_FILE: "", USE_TRAINING_HOST_SERVICE: "" };
    expect(resolveConfig({ env })).toEqual(resolveConfig({ env: {} }));
  });

  test("leaves other programs' variables alone", () => {
    expect(resolveConfig({ env: { PATH: "/bin", HOME: "/root", USE_COLOR: "maybe" } }).routes).toEqual([]);
  });

  test("has one variable for each setting, named after its key", () => {
    for (const [key, { env }] of Object.entries(settings)) {
      expect(env).toBe(`LONGHAUL_${key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`);
    }
  });
});

describe("a value", () => {
  test.each([
    ["LONGHAUL_PORT", "65536"],
    ["LONGHAUL_PORT", "-1"],
    ["LONGHAUL_ADMIN_PORT", "65536"],
    ["LONGHAUL_ADMIN_PORT", "none"],
    ["LONGHAUL_PORT", "80a"],
    ["LONGHAUL_PORT", "1e3"],
    ["LONGHAUL_PORT", " 80"],
    ["LONGHAUL_SWEEP_INTERVAL_MS", "0"],
    ["LONGHAUL_SWEEP_INTERVAL_MS", "1.5"],
    ["LONGHAUL_SWEEP_INTERVAL_MS", "2147483648"],
    ["LONGHAUL_RETENTION_MS", "999999999999999"],
    ["LONGHAUL_MAX_CONCURRENT_OPERATIONS", "0"],
    ["LONGHAUL_MAX_MESSAGE_BYTES", "4MB"],
    ["LONGHAUL_LOG_LEVEL", "verbose"],
    ["LONGHAUL_SERVER", "localhost:50051"],
    ["LONGHAUL_SERVER", "ftp://host"],
    ["LONGHAUL_JWT_ALGORITHMS", "none"],
    ["LONGHAUL_JWT_ALGORITHMS", "RS256,HS256"],
    ["LONGHAUL_JWT_ALGORITHMS", "RS256,"],
    ["LONGHAUL_INSECURE", "maybe"],
  ])("that does not fit is refused by its variable's name: %s=%s", (variable, value) => {
    const message = problem({ env: { [variable]: value } });
    expect(message).toContain(`${variable} is ${JSON.stringify(value)}; it must be`);
  });

  test.each([
    ["LONGHAUL_PORT", "0", { port: 0 }],
    ["LONGHAUL_ADMIN_PORT", "0", { adminPort: "0" }],
    ["LONGHAUL_ADMIN_PORT", "9464", { adminPort: "9464" }],
    ["LONGHAUL_ADMIN_PORT", "off", { adminPort: "off" }],
    ["OTEL_SERVICE_NAME", "x", { otel: { OTEL_SERVICE_NAME: "x" } }],
    ["LONGHAUL_CACHE_TTL_MS", "0", { cacheTtlMs: 0 }],
    ["LONGHAUL_RETENTION_MS", "31536000000", { retentionMs: 31_536_000_000 }],
    ["LONGHAUL_LOG_LEVEL", "silent", { logLevel: "silent" }],
    ["LONGHAUL_SERVER", "https://registry.example", { server: "https://registry.example" }],
    ["LONGHAUL_DATABASE_URL", "postgres://u:p@host/db", { databaseUrl: "postgres://u:p@host/db" }],
    ["LONGHAUL_DATABASE_URL", "postgresql://host:5433/db?sslmode=require", {}],
    ["LONGHAUL_JWT_ALGORITHMS", "EdDSA,ES256", { jwtAlgorithms: "EdDSA,ES256" }],
    ["LONGHAUL_ADVERTISE_URL", "http://10.0.0.7:50051", { advertiseUrl: "http://10.0.0.7:50051" }],
  ])("at the edge is taken: %s=%s", (variable, value, expected) => {
    expect(resolveConfig({ env: { [variable]: value } })).toMatchObject(expected);
  });

  test.each(["mysql://user:hunter2@host/db", "postgres://user:hunter2@host", "user:hunter2@host/db"])(
    "that may hold a password is refused without being repeated: %s",
    (value) => {
      const message = problem({ env: { LONGHAUL_DATABASE_URL: value } });
      expect(message).toContain("LONGHAUL_DATABASE_URL is not a URL of that kind; it must be a URL like postgres://");
      expect(message).not.toContain("hunter2");
    },
  );

  test("of the file is refused by its key, also when it has the wrong type", async () => {
    expect(problem({ file: await fileWith('{"port": true}') })).toContain('key "port" of the file is true');
    expect(problem({ file: await fileWith('{"listenHost": 7}') })).toContain('key "listenHost" of the file is 7');
    expect(problem({ file: await fileWith('{"maxHops": null}') })).toContain('key "maxHops" of the file is null');
  });

  test("of a flag is refused by the flag's name", () => {
    expect(problem({ flags: { port: "high" } })).toContain('port is "high"');
  });
});

describe("what is unknown", () => {
  test("stops with its name, wherever it stands", async () => {
    expect(problem({ env: { LONGHAUL_CACHE_TTL: "5" } })).toContain("LONGHAUL_CACHE_TTL ");
    expect(problem({ file: await fileWith('{"cacheTtl": 5}') })).toContain('"cacheTtl"');
    expect(problem({ file: await fileWith('{"__proto__": 5}') })).toContain('"__proto__"');
    expect(problem({ flags: { colour: "red" } })).toContain("colour");
  });

  test("is named together with everything else that is wrong", () => {
    const env = { LONGHAUL_PORT: "x", LONGHAUL_TYPO: "1", USE_TRAINING_HOST_SERVICE: "true" };
    const message = problem({ env });
    for (const name of ["LONGHAUL_PORT", "LONGHAUL_TYPO", "TRAINING_HOST_SERVICE_URL"]) {
      expect(message).toContain(name);
    }
  });

  test("file or no JSON object is named by its path", async () => {
    const missing = join(await temporaryDirectory(), "missing.json");
    expect(problem({ file: missing })).toContain(missing);
    for (const text of ["{", "[]", "null", '"text"']) {
      const file = await fileWith(text);
      expect(problem({ file })).toContain(file);
    }
  });
});

describe("routes", () => {
  const url = "http://localhost:5002";

  test.each(["true", "1", "yes", "TRUE", "Yes"])("are on with %s", (value) => {
    const env = { USE_DATA_LOAD_HOST_SERVICE: value, DATA_LOAD_HOST_SERVICE_URL: url };
    expect(resolveConfig({ env }).routes).toEqual([{ operationType: "data_load", url }]);
  });

  test.each(["false", "0", "no", "No"])("are off with %s, whatever the URL and the file say", async (value) => {
    const file = await fileWith(JSON.stringify({ routes: { training: url } }));
    const env = { USE_TRAINING_HOST_SERVICE: value, TRAINING_HOST_SERVICE_URL: "nonsense" };
    expect(resolveConfig({ env, file }).routes).toEqual([]);
  });

  test("are neither on nor off with anything else, which is named", () => {
    const message = problem({ env: { USE_TRAINING_HOST_SERVICE: "on", TRAINING_HOST_SERVICE_URL: url } });
    expect(message).toContain('USE_TRAINING_HOST_SERVICE is "on"');
  });

  test("that are on need a URL", () => {
    const on = { USE_TRAINING_HOST_SERVICE: "true" };
    expect(problem({ env: on })).toContain("TRAINING_HOST_SERVICE_URL is not set");
    for (const wrong of ["localhost:5002", "ftp://host", "http://", "//host"]) {
      const message = problem({ env: { ...on, TRAINING_HOST_SERVICE_URL: wrong } });
      expect(message).toContain(`TRAINING_HOST_SERVICE_URL is ${JSON.stringify(wrong)}`);
    }
  });

  test("and other URLs are refused with user or password, which are not repeated", async () => {
    const url = "http://ada:hunter2@host:5002";
    const file = await fileWith(JSON.stringify({ routes: { training: url } }));
    const on = { USE_TRAINING_HOST_SERVICE: "true", TRAINING_HOST_SERVICE_URL: url };
    for (const sources of [
      { env: on },
      { file },
      { env: { LONGHAUL_SERVER: url } },
      { env: { LONGHAUL_ADVERTISE_URL: url } },
      { env: { LONGHAUL_JWKS_URL: url } },
      { env: { LONGHAUL_SERVER: "ada:hunter2@host" } },
    ]) {
      expect(problem(sources)).toContain("a URL with user or password");
      expect(problem(sources)).not.toContain("hunter2");
    }
  });

  test("come from the file too, and the environment's count more", async () => {
    const file = await fileWith(JSON.stringify({ routes: { training: "http://a:1", "lstm-training": "http://b:2" } }));
    const env = { USE_TRAINING_HOST_SERVICE: "1", TRAINING_HOST_SERVICE_URL: url };
    expect(resolveConfig({ env, file }).routes).toEqual([
      { operationType: "lstm-training", url: "http://b:2" },
      { operationType: "training", url },
    ]);
  });

  test("of the file that are malformed are named", async () => {
    expect(problem({ file: await fileWith('{"routes": {"training": "host"}}') })).toContain("routes.training");
    for (const routes of ["text", ["http://a:1"], 5]) {
      expect(problem({ file: await fileWith(JSON.stringify({ routes })) })).toContain('key "routes" of the file');
    }
  });
});

describe("the description of a configuration", () => {
  test("is JSON with every setting and without passwords", () => {
    const config = resolveConfig({
      env: {
        USE_TRAINING_HOST_SERVICE: "true",
        TRAINING_HOST_SERVICE_URL: "http://host:5002",
        LONGHAUL_DATABASE_URL: "postgres://ada:secret@db:5432/longhaul?password=secret&sslmode=require",
        OTEL_EXPORTER_OTLP_HEADERS: "api-key=secret",
        OTEL_EXPORTER_OTLP_TRACES_HEADERS: "api-key=secret",
        OTEL_EXPORTER_OTLP_ENDPOINT: "https://ada:secret@collector",
      },
    });
    const text = describeConfig(config);
    expect(text).not.toContain("secret");
    expect(text).not.toContain("lovelace");
    expect(JSON.parse(text)["databaseUrl"]).toBe("postgres://***@db:5432/longhaul?sslmode=require");
    expect(Object.keys(JSON.parse(text))).toEqual(Object.keys(config));
    expect(JSON.parse(text)).toMatchObject({ port: 50_051, server: "http://127.0.0.1:50051" });
  });
});
