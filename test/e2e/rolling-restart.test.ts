import { randomUUID } from "node:crypto";
import type { ServiceError } from "@grpc/grpc-js";
import { expect, onTestFinished, test } from "vitest";
import { connectRetryingClient } from "../support/retrying-client.ts";
import { startRollingServers } from "../support/rolling-restart.ts";

const restarts = 50;
const clients = 4;

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
  const servers = await startRollingServers();
  const { seen, failed, stop } = putUnderLoad(servers.ports);
  for (let restart = 1; restart <= restarts; restart++) {
    await servers.restart();
    expect(failed, `after restart ${restart}`).toEqual([]);
  }
  await stop();
  expect(failed).toEqual([]);
  expect(seen.calls).toBeGreaterThan(restarts * clients);
}, 180_000);
