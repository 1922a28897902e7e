import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { connectTestClient, type OperationsClient } from "./test-client.ts";
import { type TestSettings, testConfig } from "./test-config.ts";

/** A server in a process of its own. */
export interface ServerProcess {
  readonly url: string;
  readonly port: number;
  readonly client: OperationsClient;
  /** Sends a signal. Safe after the end. */
  kill(signal: NodeJS.Signals): void;
  /** Resolves when the process has ended. */
  readonly exited: Promise<unknown>;
}

const script = fileURLToPath(new URL("./serve-fixture.ts", import.meta.url));
/** Whose operations a server process runs, unless the test names others. */
const testServicesModule = fileURLToPath(new URL("./test-services.ts", import.meta.url));

/** Starts a server as a process that serves test-services.ts; it is killed when the running test ends. */
export async function startServerProcess(dataDir: string, settings: TestSettings = {}): Promise<ServerProcess> {
  const config = testConfig(dataDir, { services: testServicesModule, ...settings });
  const child = spawn(process.execPath, ["--conditions=source", script, JSON.stringify(config)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  const [line] = await Promise.race([
    once(child.stdout, "data"),
    exited.then(([code]) => Promise.reject(new Error(`the server process ended with ${code} before it was up`))),
  ]);
  const { url }: { url: string } = JSON.parse(String(line));
  return {
    url,
    port: Number(new URL(url).port),
    client: connectTestClient(url),
    kill: (signal) => {
      child.kill(signal);
    },
    exited,
  };
}
