import { readFileSync } from "node:fs";
import { type SettingKey, type SettingKind, settings } from "./settings.ts";

/** Operations of a type run on a host. */
export interface Route {
  readonly operationType: string;
  /** "http://host:port" */
  readonly url: string;
}

/** The resolved configuration: every setting has a value. Times are in milliseconds, sizes in bytes. */
export type Config = Readonly<{
  [K in SettingKey]: Widened<(typeof settings)[K]["default"]>;
}> & {
  /** From USE_<TYPE>_HOST_SERVICE and <TYPE>_HOST_SERVICE_URL, by type. */
  readonly routes: readonly Route[];
  /** The standard variables of OpenTelemetry, OTEL_*, that are set; they say where traces go. Default none. */
  readonly otel?: Readonly<Record<string, string>>;
};

type Widened<T> = T extends number ? number : T extends boolean ? boolean : string;

/** Where settings come from. The first of flags, environment and file that has one counts. */
export interface ConfigSources {
  /** By key, as the command line has them. Default none. */
  readonly flags?: Readonly<Record<string, string | undefined>>;
  /** Default: the process's environment. An empty variable counts as unset. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Path of a JSON file. Default: LONGHAUL_CONFIG_FILE, or none. */
  readonly file?: string;
}

/** The configuration cannot be used; the message names every key or variable that is at fault. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

const fileVariable = "LONGHAUL_CONFIG_FILE";
const useHostPattern = /^USE_([A-Z][A-Z0-9_]*)_HOST_SERVICE$/;
/** A timer that is set for longer fires at once. */
const longestTimerMs = 2 ** 31 - 1;
const longestRetentionMs = 10 * 366 * 86_400_000;
const databaseUrlForm = "a URL like postgres://user:password@127.0.0.1:5432/longhaul";
const clientAuths = ["auto", "none", "optional", "required"];
/** Asymmetric ones only: whoever can check a signature must not be able to make one. */
const jwtAlgorithms = ["EdDSA", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"];
const logLevels = ["fatal", "error", "warn", "info", "debug", "trace", "silent"];

/** Resolves the configuration, once, at the start. Throws a ConfigError that names everything that is wrong. */
export function resolveConfig({ flags = {}, env = process.env, file }: ConfigSources = {}): Config {
  const problems: string[] = [];
  const fromFile = readFile(file ?? env[fileVariable] ?? "", problems);
  const values: Record<string, unknown> = {};
  for (const [key, { env: variable, kind, default: fallback }] of Object.entries(settings)) {
    const candidates = [
      { name: `flag ${key}`, text: flags[key] },
      { name: variable, text: env[variable] || undefined },
      { name: `key "${key}" of the file`, text: fromFile[key] },
    ];
    const given = candidates.find(({ text }) => text !== undefined);
    values[key] = given?.text === undefined ? fallback : parse(kind, given.text, given.name, problems);
  }
  refuseUnknown(flags, env, fromFile, problems);
  const routes = resolveRoutes(env, fromFile["routes"], problems);
  if (problems.length > 0) {
    throw new ConfigError(problems.join("; "));
  }
  return Object.freeze({ ...values, routes: Object.freeze(routes), otel: Object.freeze(otelVariables(env)) }) as Config;
}

/** The configuration as JSON, for people; passwords in URLs and headers for collectors are left out. */
export function describeConfig(config: Config): string {
  return JSON.stringify(
    config,
    (key, value: unknown) => {
      // Headers for a collector are how one authenticates to it.
      if (/^OTEL_.*HEADERS$/.test(key)) {
        return "***";
      }
      return typeof value === "string" && URL.canParse(value) ? withoutPassword(value) : value;
    },
    2,
  );
}

function readFile(path: string, problems: string[]): Record<string, unknown> {
  if (path === "") {
    return {};
  }
  try {
    const content: unknown = JSON.parse(readFileSync(path, "utf8"));
    if (isRecord(content)) {
      return content;
    }
    problems.push(`configuration file ${path} does not hold a JSON object`);
  } catch (error) {
    problems.push(`configuration file ${path} cannot be read: ${error instanceof Error ? error.message : error}`);
  }
  return {};
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parse(
  kind: SettingKind,
  value: unknown,
  name: string,
  problems: string[],
): string | number | boolean | undefined {
  const refuse = (expected: string, shown = JSON.stringify(value)): undefined => {
    problems.push(`${name} is ${shown}; it must be ${expected}`);
  };
  switch (kind) {
    case "text":
      return typeof value === "string" ? value : refuse("a text");
    case "url":
      return typeof value === "string" && isServerUrl(value)
        ? value
        : refuse("a URL like http://127.0.0.1:50051", shownUrl(value));
    case "databaseUrl":
      // Not repeated in the message: it may hold a password.
      return typeof value === "string" && isDatabaseUrl(value)
        ? value
        : refuse(databaseUrlForm, "not a URL of that kind");
    case "jwksUrl":
      return typeof value === "string" && isServerUrl(value)
        ? value
        : refuse("a URL like https://login.example/keys", shownUrl(value));
    case "jwtAlgorithms":
      return typeof value === "string" && value.split(",").every((one) => jwtAlgorithms.includes(one))
        ? value
        : refuse(`a list of ${jwtAlgorithms.join(",")}`);
    case "logLevel":
      return typeof value === "string" && logLevels.includes(value) ? value : refuse(`one of ${logLevels.join(", ")}`);
    case "clientAuth":
      return typeof value === "string" && clientAuths.includes(value)
        ? value
        : refuse(`one of ${clientAuths.join(", ")}`);
    case "switch":
      return truth(value) ?? refuse("true, 1, yes, false, 0 or no");
    case "optionalPort":
      return value === "off"
        ? value
        : (wholeNumber(value, 0, 65_535)?.toString() ?? refuse("off or a port, 0 to 65535"));
    case "port":
      return wholeNumber(value, 0, 65_535) ?? refuse("a port, 0 to 65535");
    case "millisecondsOr0":
      return wholeNumber(value, 0, longestTimerMs) ?? refuse("a whole number of milliseconds, at most 24 days");
    case "milliseconds":
      return wholeNumber(value, 1, longestTimerMs) ?? refuse("a whole number of milliseconds, 1 to 24 days");
    case "retention":
      return wholeNumber(value, 1, longestRetentionMs) ?? refuse("a whole number of milliseconds, 1 to 10 years");
    case "countOr0":
      return wholeNumber(value, 0, Number.MAX_SAFE_INTEGER) ?? refuse("a whole number");
    case "count":
    case "bytes":
      return wholeNumber(value, 1, Number.MAX_SAFE_INTEGER) ?? refuse("a whole number, at least 1");
  }
}

function wholeNumber(value: unknown, least: number, most: number): number | undefined {
  const number = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
  return typeof number === "number" && Number.isSafeInteger(number) && number >= least && number <= most
    ? number
    : undefined;
}

function truth(value: unknown): boolean | undefined {
  if (typeof value !== "string") {
    return typeof value === "boolean" ? value : undefined;
  }
  return /^(true|1|yes)$/i.test(value) || (/^(false|0|no)$/i.test(value) ? false : undefined);
}

/** Without user and password: no call would carry them, and the URL of a host is shown to callers. */
function isServerUrl(text: string): boolean {
  const url = URL.parse(text);
  return (
    url !== null && /^https?:$/.test(url.protocol) && url.hostname !== "" && url.username === "" && url.password === ""
  );
}

/** A URL that was refused, for messages, unless it may hold a password. */
function shownUrl(value: unknown): string {
  return typeof value === "string" && value.includes("@") ? "a URL with user or password" : JSON.stringify(value);
}

function isDatabaseUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^postgres(ql)?:$/.test(url.protocol) && url.pathname.length > 1;
}

function refuseUnknown(
  flags: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string | undefined>>,
  fromFile: Readonly<Record<string, unknown>>,
  problems: string[],
): void {
  const variables: ReadonlySet<string> = new Set([fileVariable, ...Object.values(settings).map((one) => one.env)]);
  for (const name of Object.keys(env)) {
    if (name.startsWith("LONGHAUL_") && !variables.has(name)) {
      problems.push(`${name} is not a setting of longhaul`);
    }
  }
  for (const key of Object.keys(flags)) {
    if (!Object.hasOwn(settings, key)) {
      problems.push(`flag ${key} is not a setting of longhaul`);
    }
  }
  for (const key of Object.keys(fromFile)) {
    if (!Object.hasOwn(settings, key) && key !== "routes") {
      problems.push(`key "${key}" of the file is not a setting of longhaul`);
    }
  }
}

/** The environment's routes over the file's. */
function resolveRoutes(
  env: Readonly<Record<string, string | undefined>>,
  fromFile: unknown,
  problems: string[],
): Route[] {
  const routes = new Map<string, string>();
  if (fromFile !== undefined && !isRecord(fromFile)) {
    problems.push(`key "routes" of the file is ${JSON.stringify(fromFile)}; it must be an object of URLs by type`);
  }
  for (const [operationType, url] of Object.entries(isRecord(fromFile) ? fromFile : {})) {
    if (typeof url === "string" && isServerUrl(url)) {
      routes.set(operationType, url);
    } else {
      problems.push(`key "routes.${operationType}" of the file is ${shownUrl(url)}; it must be a URL`);
    }
  }
  for (const [variable, value = ""] of Object.entries(env)) {
    const prefix = useHostPattern.exec(variable)?.[1];
    if (prefix === undefined || value === "") {
      continue;
    }
    const use = truth(value);
    if (use === undefined) {
      problems.push(`${variable} is ${JSON.stringify(value)}; it must be true, 1, yes, false, 0 or no`);
    }
    const operationType = prefix.toLowerCase();
    routes.delete(operationType);
    if (use) {
      const urlVariable = `${prefix}_HOST_SERVICE_URL`;
      const url = env[urlVariable] ?? "";
      if (isServerUrl(url)) {
        routes.set(operationType, url);
      } else {
        const what = url === "" ? "is not set" : `is ${shownUrl(url)}`;
        problems.push(`${urlVariable} ${what}; ${variable} needs a URL like http://localhost:5002`);
      }
    }
  }
  return [...routes]
    .map(([operationType, url]) => ({ operationType, url }))
    .sort((a, b) => (a.operationType < b.operationType ? -1 : 1));
}

function otelVariables(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[0].startsWith("OTEL_") && !!entry[1]),
  );
}

function withoutPassword(text: string): string {
  const url = new URL(text);
  if (url.password === "" && url.username === "" && !url.searchParams.has("password")) {
    return text;
  }
  url.username = "***";
  url.password = "";
  url.searchParams.delete("password");
  return url.href;
}
