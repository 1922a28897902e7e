import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { ServiceError } from "@grpc/grpc-js";
import { expect, onTestFinished, test } from "vitest";
import { loadServices } from "../../src/orchestrator/load-services.ts";
import { type Server, startServer } from "../../src/server.ts";
import { startPostgres } from "../support/postgres-server.ts";
import { connectRetryingClient } from "../support/retrying-client.ts";
import { startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { type TestSettings, testConfig } from "../support/test-config.ts";

/** Restarts, of which every fifth is one of a process by SIGTERM. */
const restarts = 50;
const clients = 4;
/** How long a server is up before the next one is stopped: clients have found it again by then. */
const minimumReadyMs = 1_000;

/** Uses the servers until it is told to stop; what fails is kept. */
function putUnderLoad(ports: readonly number[]) {
  const failed: string[] = [];
  const seen = { calls: 0, isOver: false };
  const use = async () => {
    const { call } = connectRetryingClient(ports);
    const counted = async (method: string, request: object) => {
      try {
        const answer = await call(method, request);
        seen.calls += 1;
        return answer;
      } catch (error) {
        const { code, details } = error as ServiceError;
        failed.push(`${method}: ${code} ${details}`);
        return undefined;
      }
    };
    while (!seen.isOver) {
      const fields = { hold: { boolValue: Math.random() < 0.3 }, delayMs: { numberValue: 5 } };
      const request = { operation_type: "training", request_id: randomUUID(), metadata: { parameters: { fields } } };
      const operation_id = (await counted("CreateOperation", request))?.operation.operation_id;
      if (operation_id !== undefined) {
        await counted("GetOperation", { operation_id });
        await counted("WaitOperation", { operation_id, until_done: true, timeout: { nanos: 300_000_000 } });
        await counted("GetMetrics", { operation_id });
        await counted("ListOperations", { page_size: 10 });
        await counted("CancelOperation", { operation_id, reason: "enough" });
      }
    }
  };
  const load = Promise.all(Array.from({ length: clients }, use));
  const stop = async () => {
    seen.isOver = true;
    await load;
  };
  onTestFinished(stop);
  return { seen, failed, stop };
}

test("two servers restarted in turn, 50 times under load: clients with an ordinary retry policy see no failed call", async () => {
  const database = await startPostgres();
  onTestFinished(() => database.stop());
  const databaseUrl = await database.createDatabase();
  const directory = await temporaryDirectory();
  const settings: TestSettings = { databaseUrl, databasePoolSize: 5, shutdownGraceMs: 4_000 };
  const services = new URL("../support/test-services.ts", import.meta.url).pathname;
  let here: Server | undefined;
  const startHere = async (port: number) =>
    startServer(testConfig(directory, { ...settings, port }), { orchestrators: await loadServices(services) });
  here = await startHere(0);
  onTestFinished(() => here?.stop());
  let there = await startServerProcess(directory, settings);
  const ports = [here.port, there.port];
  const { seen, failed, stop } = putUnderLoad(ports);

  for (let restart = 1; restart <= restarts; restart++) {
    await sleep(minimumReadyMs);
    if (restart % 5 === 0) {
      there.kill("SIGTERM");
      await there.exited;
      there = await startServerProcess(directory, { ...settings, port: there.port });
    } else {
      await here.stop();
      here = await startHere(here.port);
    }
    expect(failed, `after restart ${restart}`).toEqual([]);
  }
  await stop();
  expect(failed).toEqual([]);
  expect(seen.calls).toBeGreaterThan(restarts * clients);
}, 180_000);
