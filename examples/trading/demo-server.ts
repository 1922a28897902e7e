import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

const root = join(import.meta.dirname, "../..");

/** A `longhaul serve` in a process of its own. */
export interface DemoServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Ends the process with a signal and waits until it is gone. */
  end(signal: NodeJS.Signals): Promise<void>;
}

/** Starts a server and waits until it listens. Rejects with what it last said when it ends instead. */
export async function startDemoServer(
  flags: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<DemoServer> {
  const args = ["--conditions=source", join(root, "src/cli/main.ts"), "serve", ...flags];
  const process_ = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const url = await listening(process_);
  return {
    url,
    port: Number(new URL(url).port),
    pid: process_.pid ?? 0,
    end: async (signal) => {
      if (process_.exitCode === null && process_.signalCode === null) {
        process_.kill(signal);
        await once(process_, "exit");
      }
    },
  };
}

/** Reads the log up to the line that says where the server listens. */
function listening(server: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let last = "nothing";
    server.once("exit", (code) => reject(new Error(`the server ended with code ${code}; it last said: ${last}`)));
    if (server.stderr) {
      createInterface(server.stderr).on("line", (line) => {
        last = line;
        const url = /"url":"([^"]+)".*"msg":"listening"/.exec(line)?.[1];
        if (url) {
          resolve(url);
        }
      });
    }
  });
}
