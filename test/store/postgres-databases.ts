import { Client } from "pg";
import { afterAll, beforeAll, describe } from "vitest";
import type { InstanceStore } from "../../src/replicas/instance-store.ts";
import { openPostgresStore, type PostgresStoreOptions } from "../../src/store/postgres-store.ts";
import { machinePostgres, type PostgresBinaries, packagedPostgres } from "../support/postgres-binaries.ts";
import { type PostgresServer, startPostgres } from "../support/postgres-server.ts";
import type { OpenedStore } from "./store-fixture.ts";

/** Tests on a server of their own. `server` answers it while they run. */
export function describeOnPostgres(
  name: string,
  body: (server: () => PostgresServer) => void,
  binaries?: PostgresBinaries,
): void {
  describe(name, () => {
    let server: PostgresServer | undefined;
    beforeAll(async () => {
      server = await startPostgres(binaries && { binaries });
    });
    afterAll(() => server?.stop());
    body(() => {
      if (server === undefined) {
        throw new Error("the server runs only while the tests do");
      }
      return server;
    });
  });
}

/** Tests on the PostgreSQL of the npm package, and again on this machine's own when it has one. */
export function describeOnEveryPostgres(name: string, body: (server: () => PostgresServer) => void): void {
  const machine = machinePostgres();
  if (machine === undefined) {
    process.stdout.write(`${name}: this machine has no PostgreSQL of its own, so only the npm package's is tested\n`);
  }
  for (const binaries of [packagedPostgres(), machine]) {
    if (binaries !== undefined) {
      describeOnPostgres(`${name} on PostgreSQL ${binaries.version}`, body, binaries);
    }
  }
}

/** Runs SQL on a connection of its own. Answers the rows of the last statement. */
export async function runSql(connectionString: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString });
  await client.connect();
  try {
    const results = [await client.query(text)].flat();
    return results.at(-1)?.rows ?? [];
  } finally {
    await client.end();
  }
}

/** A transaction on a connection of its own. */
export interface HeldTransaction extends AsyncDisposable {
  /** Ends it, so that others see what it has done and may go on. */
  commit(): Promise<void>;
}

/** Runs SQL in a transaction that keeps what it has written or locked until it is committed. */
export async function holdTransaction(connectionString: string, text: string): Promise<HeldTransaction> {
  const client = new Client({ connectionString });
  await client.connect();
  await client.query(`begin; ${text}`);
  return {
    commit: async () => void (await client.query("commit")),
    [Symbol.asyncDispose]: () => client.end(),
  };
}

/** How many connections to a database wait for what others have locked. */
export async function countWaiting(connectionString: string): Promise<number> {
  const waiting = await runSql(
    connectionString,
    "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
  );
  return waiting.length;
}

/** The tables that have rows, in an order in which they can be emptied. */
export const storeTables = [
  "operation_labels",
  "metric_logs",
  "operations",
  "metric_records",
  "dropped_metric_logs",
  "tombstones",
  "instances",
] as const;

const databases = new WeakMap<PostgresServer, string>();

/** The one database of a server whose tests run one after the other. Emptying it is much quicker than a new one. */
async function emptyDatabase(server: PostgresServer): Promise<string> {
  const known = databases.get(server);
  if (known !== undefined) {
    await runSql(known, storeTables.map((table) => `delete from ${table}`).join(";"));
    return known;
  }
  const url = await server.createDatabase();
  databases.set(server, url);
  return url;
}

/** A store under test, and the URL of its database. */
export interface OpenedPostgresStore extends OpenedStore {
  readonly url: string;
  readonly instances: InstanceStore;
}

/** Opens a store in a server's database, empty. */
export async function openEmptyStore(
  server: PostgresServer,
  options: PostgresStoreOptions = {},
): Promise<OpenedPostgresStore> {
  const url = await emptyDatabase(server);
  const opened = await openPostgresStore(url, options);
  let newest = opened.store;
  return {
    url,
    ...opened,
    async reopen() {
      await newest.close();
      newest = (await openPostgresStore(url, options)).store;
      return newest;
    },
    dispose: () => newest.close(),
  };
}

/** A store, and what it has told of trouble so far. */
export interface ToldStore extends OpenedPostgresStore {
  readonly told: readonly (string | undefined)[];
}

/** Opens a store as `openEmptyStore` does, and notes what it tells of trouble. */
export async function openToldStore(server: PostgresServer, options: PostgresStoreOptions = {}): Promise<ToldStore> {
  const told: (string | undefined)[] = [];
  const onTrouble = (reason: string | undefined) => void told.push(reason);
  return { ...(await openEmptyStore(server, { ...options, onTrouble })), told };
}
