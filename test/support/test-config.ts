import type { Config } from "../../src/config.ts";
import { settings } from "../../src/settings.ts";

/** What a test says of its server beside the data directory. */
export type TestSettings = Partial<Omit<Config, "dataDir" | "routes">> & {
  /** URL of the host of each operation type that is routed. */
  readonly routes?: Readonly<Record<string, string>>;
};

/** A configuration with small intervals, any free port and no log; the rest are the defaults. */
export function testConfig(dataDir: string, { routes = {}, ...overrides }: TestSettings = {}): Config {
  const defaults = Object.fromEntries(Object.entries(settings).map(([key, { default: value }]) => [key, value]));
  return {
    ...(defaults as unknown as Config),
    port: 0,
    logLevel: "silent",
    cacheTtlMs: 200,
    pullTimeoutMs: 1_000,
    sweepIntervalMs: 500,
    shutdownGraceMs: 1_000,
    dispatchBackoffMs: 50,
    dispatchBackoffMaxMs: 200,
    ...overrides,
    dataDir,
    routes: Object.entries(routes).map(([operationType, url]) => ({ operationType, url })),
  };
}
