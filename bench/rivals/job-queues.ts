import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startPostgres } from "../../test/support/postgres-server.ts";
import { cores } from "../harness/cores.ts";
import { type PinnedProcess, startNode } from "../harness/pinned-process.ts";
import { processTree } from "../harness/process-cpu.ts";
import { redisVersion, startRedis } from "./redis-server.ts";

/** A job queue behind connect-node, with a job that is active. */
export interface JobQueue {
  /** What answers, with versions. */
  readonly name: string;
  readonly url: string;
  readonly jobId: string;
  /** All that takes part in answering: the server and its database. */
  pids(): readonly number[];
  stop(): Promise<void>;
}

const directory = fileURLToPath(new URL(".", import.meta.url));
const { dependencies: versions } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as {
  readonly dependencies: Readonly<Record<string, string>>;
};

/** Installs BullMQ and pg-boss where they are not yet. Answers why that cannot be done. */
export function installQueues(): string | undefined {
  if (Object.keys(versions).every((name) => existsSync(join(directory, "node_modules", name)))) {
    return undefined;
  }
  const { status, stderr } = spawnSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: directory, encoding: "utf8" });
  return status === 0 ? undefined : `npm ci in bench/rivals fails: ${stderr}`;
}

/** BullMQ over a Redis on the server's core. */
export async function startBullmq(): Promise<JobQueue> {
  const redis = await startRedis();
  const server = startNode(fileURLToPath(new URL("./bullmq-polls.ts", import.meta.url)), [`${redis.port}`]);
  const stop = async () => {
    await server.stop();
    await redis.process.stop();
  };
  const name = `BullMQ ${versions["bullmq"]} and Redis ${redisVersion()} behind connect-node`;
  return { name, ...(await job(server)), pids: () => [server.pid, redis.process.pid], stop };
}

/** pg-boss over a PostgreSQL on the server's core. */
export async function startPgBoss(): Promise<JobQueue> {
  const postgres = await startPostgres();
  try {
    const pidFile = readFileSync(join(postgres.directory, "data", "postmaster.pid"), "utf8");
    const postmaster = Number.parseInt(pidFile, 10);
    for (const pid of processTree(postmaster)) {
      execFileSync("taskset", ["-acp", cores.server, `${pid}`]);
    }
    const server = startNode(fileURLToPath(new URL("./pg-boss-polls.ts", import.meta.url)), [
      await postgres.createDatabase(),
    ]);
    const stop = async () => {
      await server.stop();
      await postgres.stop();
    };
    const name = `pg-boss ${versions["pg-boss"]} and PostgreSQL ${postgres.version} behind connect-node`;
    return { name, ...(await job(server)), pids: () => [server.pid, ...processTree(postmaster)], stop };
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

async function job(server: PinnedProcess): Promise<{ url: string; jobId: string }> {
  const { url, jobId = "" } = await server.announced();
  return { url, jobId };
}
