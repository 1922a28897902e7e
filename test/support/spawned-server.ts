import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type TestSettings, testConfig } from "./test-config.ts";

/** A server in a process of its own, for tests and for programs that are none. */
export interface SpawnedServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Sends a signal. Safe after the end. */
  kill(signal: NodeJS.Signals): void;
  /** Resolves when the process has ended. */
  readonly exited: Promise<unknown>;
}

const script = fileURLToPath(new URL("./serve-fixture.ts", import.meta.url));
/** Whose operations a server process runs, unless it is told others. */
const testServicesModule = fileURLToPath(new URL("./test-services.ts", import.meta.url));

/**
 * Starts a server as a process that serves test-services.ts, and resolves once it is up. `environment` is added to the
 * process's own; `onLog` gets what it logs, as JSON. Rejects when the process ends before that; what it wrote to standard error is there then.
 */
export async function spawnServer(
  dataDir: string,
  settings: TestSettings = {},
  environment: Readonly<Record<string, string>> = {},
  onLog?: (line: Record<string, unknown>) => void,
): Promise<SpawnedServer> {
  const config = testConfig(dataDir, { services: testServicesModule, ...settings });
  const child = spawn(process.execPath, ["--conditions=source", script, JSON.stringify(config)], {
    stdio: ["ignore", "pipe", onLog ? "pipe" : "inherit"],
    env: { ...process.env, ...environment },
  });
  if (onLog && child.stderr) {
    createInterface(child.stderr).on("line", (line) => onLog(JSON.parse(line)));
  }
  const exited = once(child, "exit");
  const [line] = await Promise.race([
    once(child.stdout as NodeJS.EventEmitter, "data"),
    exited.then(([code]) => Promise.reject(new Error(`the server process ended with ${code} before it was up`))),
  ]);
  const { url }: { url: string } = JSON.parse(String(line));
  return {
    url,
    port: Number(new URL(url).port),
    pid: child.pid ?? 0,
    kill: (signal) => {
      child.kill(signal);
    },
    exited,
  };
}
