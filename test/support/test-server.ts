import type { Logger } from "pino";
import { onTestFinished } from "vitest";
import type { ServiceOrchestrator } from "../../src/orchestrator/service-orchestrator.ts";
import { type Server, startServer } from "../../src/server.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { connectTestClient, type OperationsClient } from "./test-client.ts";
import { type TestSettings, testConfig } from "./test-config.ts";

/** What a test gives its server. */
export interface TestServerOptions {
  /** Default: none. */
  readonly orchestrators?: readonly ServiceOrchestrator[];
  readonly settings?: TestSettings;
  /** The clock, in milliseconds since the epoch. Default: Date.now. */
  readonly now?: () => number;
  /** Default: a new one. */
  readonly dataDir?: string;
  /** Default: at the level of the settings, which is silent. */
  readonly log?: Logger;
}

/** A server of this process with a client of its own. */
export interface TestServer extends Server {
  readonly client: OperationsClient;
}

/** Starts a server on a free port with a store of its own; it stops when the running test ends. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const { orchestrators = [], settings = {}, now = Date.now } = options;
  const dataDir = options.dataDir ?? (await temporaryDirectory());
  const server = await startServer(testConfig(dataDir, settings), {
    orchestrators,
    now,
    ...(options.log && { log: options.log }),
  });
  onTestFinished(() => server.stop());
  return { ...server, client: connectTestClient(server.url) };
}
