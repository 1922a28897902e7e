import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../support/free-port.ts";
import { type PostgresServer, startPostgres } from "../support/postgres-server.ts";
import { type SpawnedServer, spawnServer } from "../support/spawned-server.ts";
import type { TestSettings } from "../support/test-config.ts";

/** What is killed. */
export type Victim = "server" | "gateway" | "host" | "replica" | "database";

/** Every victim there is. */
export const victims: readonly Victim[] = ["server", "gateway", "host", "replica", "database"];

/** Servers with a victim among them. */
export interface World extends AsyncDisposable {
  /** Servers that clients call. */
  readonly urls: readonly string[];
  /** Types that the servers run themselves or route to the host. */
  readonly operationTypes: readonly string[];
  /** File to which each run of the work writes a line. */
  readonly ledger: string;
  /** Kills the victim, or one of several, with SIGKILL and starts it again. */
  kill(random: () => number): Promise<void>;
}

/** How long a replica counts as alive without a word, in milliseconds. */
export const leaseMs = 1_500;

/** The longest time a victim is away beside what its start takes, in milliseconds. */
const longestAwayMs = 100;
const small: TestSettings = { cacheTtlMs: 20, sweepIntervalMs: 300, shutdownGraceMs: 500 };

/** A server that can be killed and comes back on its port. */
class Revivable {
  readonly url: string;
  readonly #start: () => Promise<SpawnedServer>;
  #server: SpawnedServer;

  private constructor(server: SpawnedServer, start: (port: number) => Promise<SpawnedServer>) {
    this.url = server.url;
    this.#server = server;
    this.#start = () => start(server.port);
  }

  static async start(start: (port: number) => Promise<SpawnedServer>): Promise<Revivable> {
    return new Revivable(await start(await freePort()), start);
  }

  async kill(): Promise<void> {
    this.#server.kill("SIGKILL");
    await this.#server.exited;
  }

  /** It is away for a time in milliseconds, and for as long as its start takes. */
  async killAndRevive(awayMs: number): Promise<void> {
    await this.kill();
    await sleep(awayMs);
    this.#server = await this.#start();
  }
}

/** Starts what is needed to kill a victim: a server, a gateway before a host, or replicas over a database. */
export function startWorld(victim: Victim): Promise<World> {
  switch (victim) {
    case "server":
      return serverWorld();
    case "gateway":
    case "host":
      return gatewayWorld(victim);
    case "replica":
    case "database":
      return replicaWorld(victim);
  }
}

/** One server that runs everything itself. */
async function serverWorld(): Promise<World> {
  await using undo = new AsyncDisposableStack();
  const directory = await temporaryDirectory(undo);
  const server = await revivable(undo, (port) => spawnServer(directory, { ...small, port }));
  return {
    urls: [server.url],
    operationTypes: ["training", "restartable"],
    ledger: join(directory, "ledger"),
    kill: () => server.killAndRevive(0),
    [Symbol.asyncDispose]: keep(undo),
  };
}

/** A gateway whose only host runs everything, each with a file of its own. */
async function gatewayWorld(victim: "gateway" | "host"): Promise<World> {
  await using undo = new AsyncDisposableStack();
  const directory = await temporaryDirectory(undo);
  const host = await revivable(undo, (port) => spawnServer(join(directory, "host"), { ...small, port }));
  const routes = { training: host.url, restartable: host.url };
  const gateway = await revivable(undo, (port) => {
    return spawnServer(join(directory, "gateway"), { ...small, services: "", routes, port });
  });
  const chosen = victim === "gateway" ? gateway : host;
  return {
    urls: [gateway.url],
    operationTypes: ["training", "restartable"],
    ledger: join(directory, "ledger"),
    kill: (random) => chosen.killAndRevive(random() * longestAwayMs),
    [Symbol.asyncDispose]: keep(undo),
  };
}

/** Three replicas that run "restartable" themselves and route "training" to a host. */
async function replicaWorld(victim: "replica" | "database"): Promise<World> {
  await using undo = new AsyncDisposableStack();
  const directory = await temporaryDirectory(undo);
  const database: PostgresServer = await startPostgres();
  undo.defer(() => database.stop());
  const databaseUrl = await database.createDatabase();
  const host = await revivable(undo, (port) => spawnServer(join(directory, "host"), { ...small, port }));
  const settings = { ...small, databaseUrl, leaseMs, databasePoolSize: 5, routes: { training: host.url } };
  const replicas: Revivable[] = [];
  for (let index = 0; index < 3; index++) {
    replicas.push(await revivable(undo, (port) => spawnServer(directory, { ...settings, port })));
  }
  return {
    urls: replicas.map(({ url }) => url),
    operationTypes: ["training", "restartable", "custom"],
    ledger: join(directory, "ledger"),
    kill: async (random) => {
      if (victim === "database") {
        await database.kill();
        await sleep(random() * longestAwayMs);
        await database.start();
        return;
      }
      const chosen = replicas[Math.floor(random() * replicas.length)] as Revivable;
      await chosen.killAndRevive(random() * longestAwayMs);
    },
    [Symbol.asyncDispose]: keep(undo),
  };
}

async function revivable(
  undo: AsyncDisposableStack,
  start: (port: number) => Promise<SpawnedServer>,
): Promise<Revivable> {
  const server = await Revivable.start(start);
  undo.defer(() => server.kill());
  return server;
}

async function temporaryDirectory(undo: AsyncDisposableStack): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "longhaul-chaos-"));
  undo.defer(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** Keeps a stack beyond the function that has filled it. */
function keep(undo: AsyncDisposableStack): () => Promise<void> {
  const kept = undo.move();
  return () => kept.disposeAsync();
}
