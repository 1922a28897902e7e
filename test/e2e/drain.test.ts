import { expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { startServer } from "../../src/server.ts";
import { connectHealthClient } from "../support/health-client.ts";
import { operationIn, operationWhen } from "../support/operation-when.ts";
import { startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { connectTestClient } from "../support/test-client.ts";
import { testConfig } from "../support/test-config.ts";
import { testServices } from "../support/test-services.ts";

test("a stop is told of first; everything is served until the grace is over, and waits are answered early", async () => {
  const drainGraceMs = 400;
  const server = await startServer(testConfig(await temporaryDirectory(), { drainGraceMs }), {
    orchestrators: [testServices],
  });
  const client = connectTestClient(server.url);
  const health = connectHealthClient(server.url);
  expect(await health.check("")).toBe("SERVING");
  const { operation } = await client.createOperation({
    operationType: "training",
    metadata: { parameters: { hold: true } },
  });
  const operationId = operation?.operationId ?? "";
  const waiting = client.waitOperation({ operationId, untilDone: true });
  const stopped = server.stop();
  expect(await health.check("")).toBe("NOT_SERVING");

  const late = await client.createOperation({ operationType: "training" });
  expect(late.operation?.operationId).toMatch(/^op_training_/);
  expect((await client.getOperation({ operationId })).operation?.cancellation).toBeUndefined();

  const answer = await waiting;
  expect(answer.operation?.status ?? OperationStatus.CANCELLED).toBe(OperationStatus.CANCELLED);
  await Promise.all([stopped, server.stop()]);
  await expect(connectTestClient(server.url).getOperation({ operationId }, { timeoutMs: 1_000 })).rejects.toThrow();
});

test("what is restartable is left to run again after a SIGTERM, its waiters are answered as it is, and the rest is cancelled", {
  timeout: 60_000,
}, async () => {
  const dataDir = await temporaryDirectory();
  const first = await startServerProcess(dataDir);
  const create = async (operationType: string) => {
    const metadata = { parameters: { hold: true } };
    const { operation } = await first.client.createOperation({ operationType, metadata });
    const operationId = operation?.operationId ?? "";
    await operationIn(first.client, operationId, OperationStatus.RUNNING);
    return operationId;
  };
  const [left, cancelled] = [await create("restartable"), await create("training")];
  const { operation: before } = await first.client.getOperation({ operationId: left });
  const knownRevision = before?.revision ?? 0n;
  const waiting = first.client.waitOperation({ operationId: left, knownRevision, untilDone: true });
  // Answered after the wait on the same connection has begun.
  await first.client.getOperation({ operationId: left });
  first.kill("SIGTERM");
  const answer = await waiting;
  expect(answer.operation?.status ?? OperationStatus.RUNNING).toBe(OperationStatus.RUNNING);
  expect(await first.exited).toEqual([0, null]);

  const { client } = await startServerProcess(dataDir);
  const again = await operationWhen(client, left, ({ attempt }) => attempt === 2);
  expect(again.cancellation).toBeUndefined();
  expect((await client.getOperation({ operationId: cancelled })).operation).toMatchObject({
    status: OperationStatus.CANCELLED,
    cancellation: { reason: "the server is stopping" },
  });
});
