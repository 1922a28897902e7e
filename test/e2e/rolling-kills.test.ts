import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ServiceError } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { operationIn, operationWhen } from "../support/operation-when.ts";
import { CutShort, connectRetryingClient } from "../support/retrying-client.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { startTestReplicas } from "../support/test-replicas.ts";

const leaseMs = 3_000;
const kills = 3;
const betweenKillsMs = 10_000;
const clients = 4;
/** Operations that are sure to run in a server when it is killed. */
const lostEachTime = 10;
/** How long these may take to be settled after that. */
const settleMs = leaseMs + 5_000;

const isOver = (status: string) => !["OPERATION_STATUS_PENDING", "OPERATION_STATUS_RUNNING"].includes(status);

test("three replicas under load, one killed each ten seconds: clients with an ordinary retry policy see no failed call", async () => {
  const { replicas, start } = await startTestReplicas(3, { leaseMs });
  const running = [...replicas];
  const ports = replicas.map(({ port }) => port);
  const ledger = join(await temporaryDirectory(), "ledger");
  const failed: string[] = [];
  const calls = { total: 0, cutShort: 0 };
  const ids: string[] = [];
  const lost = new Map<string, OperationInfo>();
  let stopping = false;

  async function use(): Promise<void> {
    const { call } = connectRetryingClient(ports);
    const counted = async (method: string, request: object) => {
      try {
        // A server that is killed in the middle of an answer leaves nothing to gRPC but to say so: then the client asks
        // again, as it may, for every call names what it is about.
        const answer = await call(method, request).catch((error: unknown) => {
          if (!(error instanceof CutShort)) {
            throw error;
          }
          calls.cutShort += 1;
          return call(method, request);
        });
        calls.total += 1;
        return answer;
      } catch (error) {
        const { code, details } = error as ServiceError;
        failed.push(`${method}: ${code} ${details}`);
        return undefined;
      }
    };
    while (!stopping) {
      const hold = Math.random() < 0.1;
      const fields = { hold: { boolValue: hold }, ledger: { stringValue: ledger }, delayMs: { numberValue: 20 } };
      const request = { operation_type: "training", request_id: randomUUID(), metadata: { parameters: { fields } } };
      const created = await counted("CreateOperation", request);
      if (!created) {
        continue;
      }
      const { operation_id } = created.operation;
      ids.push(operation_id);
      await counted("GetOperation", { operation_id });
      await counted("WaitOperation", { operation_id, timeout: { nanos: 200_000_000 } });
      await counted("GetMetrics", { operation_id });
      await counted("ListOperations", { page_size: 10 });
      const some = ids[Math.floor(Math.random() * ids.length)];
      await counted("CancelOperation", { operation_id: some, reason: "chance" });
      await counted("GetOperation", { operation_id: some });
    }
  }

  /** Work that only a cancellation or the death of its process ends, and that has begun. */
  async function createHeld({ client }: ServerProcess): Promise<string> {
    const { operation } = await client.createOperation({
      operationType: "training",
      metadata: { parameters: { hold: true, ledger } },
    });
    const operationId = operation?.operationId ?? "";
    await operationIn(client, operationId, OperationStatus.RUNNING);
    return operationId;
  }

  const load = Promise.all(Array.from({ length: clients }, use));
  for (let kill = 0; kill < kills; kill++) {
    await sleep(betweenKillsMs);
    const index = kill % running.length;
    const victim = running[index] as ServerProcess;
    const others = running.filter((one) => one !== victim);
    const operationIds = await Promise.all(Array.from({ length: lostEachTime }, () => createHeld(victim)));
    victim.kill("SIGKILL");
    const killedAtMs = performance.now();
    await victim.exited;
    for (const operationId of operationIds) {
      const settled = await Promise.all(
        others.map(({ client }) =>
          operationWhen(client, operationId, ({ status }) => status > OperationStatus.RUNNING),
        ),
      );
      expect(settled[0]).toMatchObject({ error: { reason: "PROCESS_RESTARTED" } });
      expect(settled[1]).toEqual(settled[0]);
      lost.set(operationId, settled[0] as OperationInfo);
    }
    expect(performance.now() - killedAtMs).toBeLessThan(settleMs);
    running[index] = await start({ port: victim.port });
  }
  stopping = true;
  await load;

  expect(failed).toEqual([]);
  expect(calls.total).toBeGreaterThan(500);
  // Each client has one call at a time, and only those that one server was answering can have been cut short.
  expect(calls.cutShort).toBeLessThan(kills * clients);
  const { call } = connectRetryingClient(ports);
  await call("CancelOperations", { filter: { statuses: [1, 2] }, reason: "the end" });
  await expect
    .poll(
      async () => {
        const { by_status } = await call("CountOperations", {});
        return by_status.filter(({ status }: { status: string }) => !isOver(status));
      },
      { timeout: 2 * settleMs, interval: 200 },
    )
    .toEqual([]);
  const runs = readFileSync(ledger, "utf8").trim().split("\n");
  expect(new Set(runs).size).toBe(runs.length);
  expect((await call("CountOperations", {})).total).toBe(ids.length + lost.size);
  // Settled once: no server that came back has changed it.
  for (const [operationId, settled] of lost) {
    for (const { client } of running) {
      expect((await client.getOperation({ operationId })).operation).toEqual(settled);
    }
  }
}, 180_000);
