import { setTimeout as sleep } from "node:timers/promises";
import { onTestFinished } from "vitest";
import { loadServices } from "../../src/orchestrator/load-services.ts";
import { type Server, startServer } from "../../src/server.ts";
import { startPostgres } from "./postgres-server.ts";
import { startServerProcess } from "./server-process.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { type TestSettings, testConfig } from "./test-config.ts";

/** Two servers over one database that are restarted in turn. */
export interface RollingServers {
  readonly ports: readonly number[];
  /** Stops one as a deployment does, and starts it again at the same port: every fifth time the one that is a process. */
  restart(): Promise<void>;
}

/** How long a server is up before the next one is stopped: clients have found it again by then. */
const minimumReadyMs = 1_000;

/** Starts two servers of test-services.ts, one in this process; they are gone when the running test ends. */
export async function startRollingServers(): Promise<RollingServers> {
  const database = await startPostgres();
  onTestFinished(() => database.stop());
  const databaseUrl = await database.createDatabase();
  const directory = await temporaryDirectory();
  const settings: TestSettings = { databaseUrl, databasePoolSize: 5, shutdownGraceMs: 4_000 };
  const services = new URL("./test-services.ts", import.meta.url).pathname;
  const startHere = async (port: number) =>
    startServer(testConfig(directory, { ...settings, port }), { orchestrators: await loadServices(services) });
  let here: Server = await startHere(0);
  onTestFinished(() => here.stop());
  let there = await startServerProcess(directory, settings);
  let restarts = 0;
  return {
    ports: [here.port, there.port],
    restart: async () => {
      restarts += 1;
      await sleep(minimumReadyMs);
      if (restarts % 5 === 0) {
        there.kill("SIGTERM");
        await there.exited;
        there = await startServerProcess(directory, { ...settings, port: there.port });
      } else {
        await here.stop();
        here = await startHere(here.port);
      }
    },
  };
}
