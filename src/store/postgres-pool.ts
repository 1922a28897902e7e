import { Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import type { PostgresPool, PostgresPoolClient, PostgresQueryResult } from "kysely";
import { type CustomTypesConfig, Pool, type PoolClient, types } from "pg";
import { isMisplacedStatement, leavesConnectionUsable } from "./postgres-error.ts";
import { preparedNameOf } from "./prepared-query.ts";

/** How the connections to a PostgreSQL database are. Times are in milliseconds; 0 is no limit. */
export interface PostgresPoolOptions {
  /** The most connections. */
  readonly size: number;
  /** The longest time a statement may take. */
  readonly statementTimeoutMs: number;
  /** Whether statements that come again and again stay prepared in the connection, where poolers allow that. */
  readonly preparedStatements: boolean;
}

/** How long may pass until there is a connection: as long as a statement may take, but within these bounds. */
const shortestConnectionTimeoutMs = 1_000;
const longestConnectionTimeoutMs = 3_000;
/** What a statement's answer may take on its way. */
const answerTimeoutMs = 500;
/** How long a connection is kept: after that it goes where the host name has come to point to. */
const lifetimeSeconds = 1_800;
/** How long the database may take to close connections. */
const closeTimeoutMs = 500;

/**
 * Connections to a PostgreSQL database, for Kysely.
 *
 * I1 Every wait ends: the database ends statements, waits for locks and idle transactions, and this side gives up on
 *    connections and answers that do not come.
 * I2 A connection is used again only after answers in good order. After anything else it is closed, with all that were
 *    made before: where one hangs the others may, too, and each would take its time to fail.
 * I3 What the URL says, as in "?application_name=x&options=…", comes before what is said here.
 */
export function postgresPool(
  connectionString: string,
  { size, statementTimeoutMs, preparedStatements }: PostgresPoolOptions,
): PostgresPool {
  const sockets = new Set<Socket>();
  const pool = new Pool({
    connectionString,
    application_name: "longhaul",
    max: size,
    maxLifetimeSeconds: lifetimeSeconds,
    connectionTimeoutMillis: connectionTimeoutMs(statementTimeoutMs),
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    statement_timeout: statementTimeoutMs,
    // Waiting for a lock is told from being slow.
    lock_timeout: Math.ceil(statementTimeoutMs / 2),
    // A server that is frozen in the middle of a transaction holds up the others no longer than this.
    idle_in_transaction_session_timeout: statementTimeoutMs,
    query_timeout: statementTimeoutMs === 0 ? 0 : statementTimeoutMs + answerTimeoutMs,
    types: columnParsers,
    stream: () => noted(sockets, new Socket()),
  });
  let isPreparing = preparedStatements;
  /** Connections are told by the failures there had been when they were made. */
  let failures = 0;
  const failuresBefore = new WeakMap<PoolClient, number>();
  const isTrusted = (client: PoolClient) => failuresBefore.get(client) === failures;

  pool.on("connect", (client) => {
    failuresBefore.set(client, failures);
    // One that dies while it is used: whoever uses it gets the error, too.
    client.on("error", () => {});
  });
  // One that dies while nobody uses it, as when the database is restarted: the pool has removed it already.
  pool.on("error", () => {});

  async function connect(): Promise<PoolClient> {
    for (;;) {
      const client = await pool.connect();
      if (isTrusted(client)) {
        return client;
      }
      discard(client);
    }
  }

  /** A connection as Kysely uses it between taking it from the pool and giving it back. */
  function guarded(client: PoolClient): PostgresPoolClient {
    let failure: { readonly error: unknown } | undefined;

    async function query<R>(text: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<R>> {
      // Nothing would answer the rollback of what has failed either.
      if (failure !== undefined) {
        throw failure.error;
      }
      const name = isPreparing ? preparedNameOf(parameters) : undefined;
      try {
        const values = parameters.map(storable);
        const result: unknown = await client.query({ text, values, ...(name !== undefined && { name }) });
        return result as PostgresQueryResult<R>;
      } catch (error) {
        if (isMisplacedStatement(error)) {
          isPreparing = false;
        }
        if (!leavesConnectionUsable(error)) {
          failure = { error };
          if (isTrusted(client)) {
            failures++;
          }
        }
        throw error;
      }
    }

    return {
      query: query as PostgresPoolClient["query"],
      release: (destroy = false) => (destroy || !isTrusted(client) ? discard(client) : client.release()),
    };
  }

  return {
    options: {},
    connect: async () => guarded(await connect()),
    async end() {
      await pool.end();
      await closed(sockets);
    },
  };
}

function connectionTimeoutMs(statementTimeoutMs: number): number {
  const shorter = Math.max(statementTimeoutMs, shortestConnectionTimeoutMs);
  return statementTimeoutMs === 0 ? longestConnectionTimeoutMs : Math.min(shorter, longestConnectionTimeoutMs);
}

/** Closes a connection without a farewell, which might never be answered. */
function discard(client: PoolClient): void {
  client.release(true);
  client.connection.stream.destroy();
}

/** Text cannot hold U+0000 here; in columns, which only serve to find operations, a private character stands for it. */
function storable(value: unknown): unknown {
  return typeof value === "string" && value.includes("\0") ? value.replaceAll("\0", "\u{F0000}") : value;
}

/** How columns are read in this pool: int8 as number and bytea as Uint8Array; others as pg does by default. */
const columnParsers: CustomTypesConfig = {
  getTypeParser(type: number, format?: "text" | "binary") {
    if (type === types.builtins.INT8) {
      return Number;
    }
    const parse = types.getTypeParser(type, format as "text");
    return type === types.builtins.BYTEA ? (text: string) => new Uint8Array(parse(text)) : parse;
  },
};

function noted(sockets: Set<Socket>, socket: Socket): Socket {
  sockets.add(socket);
  socket.once("close", () => sockets.delete(socket));
  return socket;
}

/** Resolves when the sockets are closed, if need be by force: a frozen database does not answer a farewell. */
async function closed(sockets: ReadonlySet<Socket>): Promise<void> {
  const closing = [...sockets].map((socket) => new Promise((resolve) => socket.once("close", resolve)));
  await Promise.race([Promise.all(closing), setTimeout(closeTimeoutMs, undefined, { ref: false })]);
  for (const socket of sockets) {
    socket.destroy();
  }
}
