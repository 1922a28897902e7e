import { Kysely } from "kysely";
import { Client } from "pg";
import type { OperationStore } from "../operations/operation-store.ts";
import type { InstanceStore } from "../replicas/instance-store.ts";
import { joinedReplacements } from "./joined-replacements.ts";
import { KyselyInstances } from "./kysely-instances.ts";
import { KyselyStore } from "./kysely-store.ts";
import { missingMigrations } from "./migrate-store.ts";
import { isPostgresFault, postgresTroubleOf } from "./postgres-error.ts";
import { type PostgresPoolOptions, postgresPool } from "./postgres-pool.ts";
import { locklessDialect, migratePostgres, postgresTarget, readPostgresState } from "./postgres-schema.ts";
import { explainMigration, explainOpening, type PostgresPlace, refuseUnfit } from "./postgres-start.ts";
import { retriedTransactions } from "./retried-transactions.ts";
import type { StoreTables } from "./schema.ts";
import { StoreCalls } from "./store-calls.ts";
import { storeWriter } from "./store-writes.ts";

/** Transactions of joined writes at a time: while the database is at one, this server prepares the next one. */
const joinedAtOnce = 2;

/** What may be said when a store is opened. */
export interface PostgresStoreOptions {
  /** The most connections, beside one for the leases. Default 10. */
  readonly poolSize?: number;
  /** The longest time a statement may take, in milliseconds; 0 is no limit. Default 5000. */
  readonly statementTimeoutMs?: number;
  /** The longest time that entering or renewing a lease may take, in milliseconds. Default 2500, for a lease of 10 s. */
  readonly leaseTimeoutMs?: number;
  /**
   * Whether the connections keep statements prepared. Default true. Some poolers do not get along with that, such as
   * PgBouncer before 1.21: then the store ceases to do so, but the first calls may fail.
   */
  readonly preparedStatements?: boolean;
  /** Told why the database cannot be used, and with undefined when it can be again. Default nobody. */
  readonly onTrouble?: (reason: string | undefined) => void;
}

/** A store that several servers can share, and where these are entered. */
export interface SharedStore {
  readonly store: OperationStore;
  /** It is closed with the store. */
  readonly instances: InstanceStore;
}

/**
 * Opens the store in a PostgreSQL database, 15 or later, and makes or migrates its tables, in the first schema of the
 * role's search path. While the database is away, calls are refused, and the store finds it again by itself.
 *
 * Throws an Error that names the database, as host:port/name, and says what to do when it cannot be reached, does not
 * let this server in or does not exist; when it is too old, has another encoding than UTF8 or the tables of a newer
 * longhaul; and when the role may not make or change the tables. Of the URL it says nothing more.
 */
export async function openPostgresStore(url: string, options: PostgresStoreOptions = {}): Promise<SharedStore> {
  const { poolSize = 10, statementTimeoutMs = 5_000, preparedStatements = true, onTrouble } = options;
  const { leaseTimeoutMs = 2_500 } = options;
  const place = placeOf(url);
  const db = connect(url, { size: poolSize, statementTimeoutMs, preparedStatements });
  try {
    await prepare(db, url, place);
  } catch (error) {
    await db.destroy();
    throw error;
  }
  // A lease must not run out because all connections are busy, nor wait until a probe has found the database well.
  const leases = connect(url, { size: 1, statementTimeoutMs: leaseTimeoutMs, preparedStatements });
  const leaseCalls = new StoreCalls({
    troubleOf: () => undefined,
    isFault: isPostgresFault,
    probe: async () => {},
  });
  const store = new KyselyStore({
    db,
    write: storeWriter({
      db,
      transact: retriedTransactions(db),
      replaceOne: joinedReplacements(db, {
        atOnce: joinedAtOnce,
        failsAll: (error) => postgresTroubleOf(error) !== undefined,
      }),
      lockRows: true,
    }),
    joinedAtOnce,
    troubleOf: postgresTroubleOf,
    isFault: isPostgresFault,
    ...(onTrouble && { onTrouble }),
    release: async () => {
      await leaseCalls.close();
      await Promise.all([db.destroy(), leases.destroy()]);
    },
  });
  return { store, instances: new KyselyInstances(leases, leaseCalls) };
}

/** Sees to it that the database is fit for use and has the newest schema. */
async function prepare(db: Kysely<StoreTables>, url: string, place: PostgresPlace): Promise<void> {
  const state = await readPostgresState(db).catch((error: unknown) => {
    throw explainOpening(place, error);
  });
  refuseUnfit(place, state);
  const target = postgresTarget(place.name, state.schema);
  const missing = missingMigrations(state.migrations, target);
  if (missing.length === 0) {
    return;
  }
  const patient = connect(url, { size: 1, statementTimeoutMs: 0, preparedStatements: false });
  try {
    await migratePostgres(patient, target);
  } catch (error) {
    throw explainMigration(place, state, missing, error);
  } finally {
    await patient.destroy();
  }
}

function connect(url: string, options: PostgresPoolOptions): Kysely<StoreTables> {
  return new Kysely({ dialect: locklessDialect(postgresPool(url, options)) });
}

/** Where the URL leads; what it does not say comes from the environment, as with all programs for PostgreSQL. */
function placeOf(connectionString: string): PostgresPlace {
  try {
    const { host, port, database, user } = new Client({ connectionString });
    return { name: `the database ${host}:${port}/${database}`, database: `${database}`, role: `${user}` };
  } catch (cause) {
    throw new Error("the database's URL is malformed; one looks like postgres://user:password@host:5432/name", {
      cause,
    });
  }
}
