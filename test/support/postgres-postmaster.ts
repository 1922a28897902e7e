import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { PostgresBinaries } from "./postgres-binaries.ts";
import { postgresEnvironment, postgresHome, postgresUser } from "./postgres-home.ts";
import { ended, freezeTree, type Process, signalAll } from "./postgres-processes.ts";

/** A PostgreSQL server's first process, with those that descend from it. */
export interface Postmaster {
  /** False as soon as it has ended, for whatever reason. */
  isRunning(): boolean;
  /** Stops all by SIGSTOP. */
  freeze(): void;
  /** Lets all go on. Safe when they are not frozen. */
  thaw(): void;
  /** Sends the postmaster a signal that it ends by, frozen or not. Resolves when all have ended. Safe to repeat. */
  end(signal: "SIGKILL" | "SIGQUIT"): Promise<void>;
}

/**
 * Starts a server on `directory`/data, which no other one uses, and waits until it lets clients in. Answers undefined
 * when its port is taken. Throws, with its log, when it ends, or is not up within `timeoutMs`.
 */
export async function startPostmaster(
  { directory: bin }: PostgresBinaries,
  directory: string,
  settings: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<Postmaster | undefined> {
  const data = join(directory, "data");
  // A killed server leaves it, and its process id may be another one's by now, which would keep this one from starting.
  rmSync(join(data, "postmaster.pid"), { force: true });
  const logs = readdirSync(directory).filter((name) => name.endsWith(".log"));
  const log = join(directory, `postgres-${logs.length + 1}.log`);
  const logFile = openSync(log, "w");
  const settingArguments = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const child = spawn(join(bin, "postgres"), ["-D", data, ...settingArguments], {
    ...postgresUser(),
    cwd: data,
    env: postgresEnvironment,
    // Ctrl+C in a terminal is for the tests; they end the server, or the watchdog does.
    detached: true,
    stdio: ["ignore", logFile, logFile],
  });
  postgresHome().guard(child);
  child.unref();
  closeSync(logFile);
  await once(child, "spawn");
  const postmaster = postmasterOf(child);
  const deadline = Date.now() + timeoutMs;
  while (!isReady(child, data)) {
    if (hasEnded(child) && readFileSync(log, "utf8").includes("Address already in use")) {
      return undefined;
    }
    if (hasEnded(child) || Date.now() > deadline) {
      await postmaster.end("SIGKILL");
      throw new Error(`PostgreSQL does not start:\n${readFileSync(log, "utf8").slice(-4_000)}`);
    }
    await delay(10);
  }
  return postmaster;
}

function postmasterOf(child: ChildProcess): Postmaster {
  const treeNow = () => (child.pid === undefined || hasEnded(child) ? [] : freezeTree(child.pid));
  let frozen: readonly Process[] = [];
  return {
    isRunning: () => !hasEnded(child),
    freeze() {
      frozen = treeNow();
    },
    thaw() {
      signalAll(frozen, "SIGCONT");
      frozen = [];
    },
    async end(signal) {
      const tree = treeNow();
      child.kill(signal);
      signalAll(tree, "SIGCONT");
      await ended(tree);
      // The kernel knows it before Node.js does.
      while (!hasEnded(child)) {
        await delay(1);
      }
    },
  };
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Whether the server has written that it lets clients in; what pg_ctl waits for, too. */
function isReady(child: ChildProcess, data: string): boolean {
  const path = join(data, "postmaster.pid");
  const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n") : [];
  return lines[0] === `${child.pid}` && lines[7]?.trim() === "ready";
}
