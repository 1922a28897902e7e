import type { OperationStore } from "../operations/operation-store.ts";
import type { InstanceStore } from "../replicas/instance-store.ts";
import { openSqliteStore } from "./sqlite-store.ts";

/** Where operations are kept; the settings of these names. */
export interface StoreSettings {
  readonly databaseUrl: string;
  readonly databasePoolSize: number;
  readonly databaseTimeoutMs: number;
  readonly leaseMs: number;
  readonly dataDir: string;
}

/** A store, and where the servers that share it are entered; unset where there can only be one. */
export interface OpenedStore {
  readonly store: OperationStore;
  readonly instances?: InstanceStore;
}

/** Opens the PostgreSQL or SQLite store that the settings name. Rejects with an Error that names what is wrong. */
export async function openStore(
  { databaseUrl, databasePoolSize, databaseTimeoutMs, leaseMs, dataDir }: StoreSettings,
  onTrouble: (reason: string | undefined) => void,
): Promise<OpenedStore> {
  if (databaseUrl === "") {
    return { store: await openSqliteStore(`${dataDir}/longhaul.sqlite`, { onTrouble }) };
  }
  // The driver is loaded where it is used: a server with a file of its own starts without it.
  const { openPostgresStore } = await import("./postgres-store.ts");
  return openPostgresStore(databaseUrl, {
    poolSize: databasePoolSize,
    statementTimeoutMs: databaseTimeoutMs,
    // A renewal that hangs must leave time for others before the lease runs out.
    leaseTimeoutMs: Math.ceil(leaseMs / 4),
    onTrouble,
  });
}
