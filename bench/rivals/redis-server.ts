import { spawnSync } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "../../test/support/free-port.ts";
import { accepts } from "../harness/accepts.ts";
import { temporaryDirectory } from "../harness/leftovers.ts";
import { type PinnedProcess, startProcess } from "../harness/pinned-process.ts";

/** Redis's version, "7.0.15"; undefined where it is not installed. */
export function redisVersion(): string | undefined {
  return /v=(\S+)/.exec(spawnSync("redis-server", ["--version"], { encoding: "utf8" }).stdout ?? "")?.[1];
}

/** Starts a Redis of its own that keeps nothing on disk. */
export async function startRedis(): Promise<{ readonly port: number; readonly process: PinnedProcess }> {
  const port = await freePort();
  const process = startProcess("redis-server", [
    ...["--port", `${port}`, "--bind", "127.0.0.1"],
    ...["--save", "", "--appendonly", "no", "--dir", temporaryDirectory()],
  ]);
  while (!(await accepts(port))) {
    if (process.hasEnded()) {
      throw new Error(`Redis has ended:\n${process.output()}`);
    }
    await delay(20);
  }
  return { port, process };
}
