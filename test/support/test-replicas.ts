import { onTestFinished } from "vitest";
import { type PostgresServer, startPostgres } from "./postgres-server.ts";
import { type ServerProcess, startServerProcess } from "./server-process.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import type { TestSettings } from "./test-config.ts";

/** Servers over one PostgreSQL. */
export interface TestReplicas {
  readonly database: PostgresServer;
  readonly databaseUrl: string;
  readonly replicas: readonly ServerProcess[];
  /** Starts one more. */
  start(settings?: TestSettings): Promise<ServerProcess>;
}

/** Starts a PostgreSQL and servers over it, each in a process of its own; all stop when the running test ends. */
export async function startTestReplicas(count: number, settings: TestSettings = {}): Promise<TestReplicas> {
  const database = await startPostgres();
  onTestFinished(() => database.stop());
  const databaseUrl = await database.createDatabase();
  const directory = await temporaryDirectory();
  const start = (more: TestSettings = {}) => {
    return startServerProcess(directory, { databaseUrl, databasePoolSize: 5, ...settings, ...more });
  };
  const replicas: ServerProcess[] = [];
  for (let index = 0; index < count; index++) {
    replicas.push(await start());
  }
  return { database, databaseUrl, replicas, start };
}
