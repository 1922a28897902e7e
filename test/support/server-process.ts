import { onTestFinished } from "vitest";
import { type SpawnedServer, spawnServer } from "./spawned-server.ts";
import { connectTestClient, type OperationsClient } from "./test-client.ts";
import type { TestSettings } from "./test-config.ts";

/** A server in a process of its own, with a client. */
export interface ServerProcess extends SpawnedServer {
  readonly client: OperationsClient;
}

/** Starts a server as a process that serves test-services.ts; it is killed when the running test ends. */
export async function startServerProcess(
  dataDir: string,
  settings: TestSettings = {},
  environment: Readonly<Record<string, string>> = {},
  onLog?: (line: Record<string, unknown>) => void,
): Promise<ServerProcess> {
  const server = await spawnServer(dataDir, settings, environment, onLog);
  onTestFinished(async () => {
    server.kill("SIGKILL");
    await server.exited;
  });
  return { ...server, client: connectTestClient(server.url) };
}
