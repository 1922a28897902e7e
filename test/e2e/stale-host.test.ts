import { describe, expect, test } from "vitest";
import { FreshnessSource, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { freePort } from "../support/free-port.ts";
import { operationWhen } from "../support/operation-when.ts";
import { type ServerProcess, startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import type { OperationsClient } from "../support/test-client.ts";
import { startTestServer } from "../support/test-server.ts";

/** A gateway of this process, a host in a process of its own, and an operation that has begun there. */
async function runningOperation() {
  const dataDir = await temporaryDirectory();
  const port = await freePort();
  const startHost = () => startServerProcess(dataDir, { port });
  const host = await startHost();
  const { client } = await startTestServer({ settings: { routes: { custom: host.url } } });
  const { operation } = await client.createOperation({
    operationType: "custom",
    metadata: { parameters: { records: 2, hold: true } },
  });
  const operationId = operation?.operationId ?? "";
  await operationWhen(client, operationId, ({ status, progress }) => {
    return status === OperationStatus.RUNNING && progress?.stepsCompleted === 2n;
  });
  return { client, host, startHost, operationId };
}

/** Expects every way of reading to answer, before a deadline of 3 s, the last known state as stale with a reason. */
async function expectStaleAnswers(client: OperationsClient, operationId: string, host: ServerProcess) {
  const lastKnown = {
    status: OperationStatus.RUNNING,
    progress: { stepsCompleted: 2n },
    freshness: { source: FreshnessSource.HOST, stale: true, staleReason: expect.any(String) },
  };
  const within3s = { timeoutMs: 3_000 };
  const { operation } = await client.getOperation({ operationId, maxStaleness: {} }, within3s);
  expect(operation).toMatchObject(lastKnown);
  expect(operation?.freshness?.staleReason).not.toBe("");
  expect(operation?.host).toBe(host.url);

  const batch = await client.batchGetOperations({ operations: [{ operationId }], maxStaleness: {} }, within3s);
  expect(batch.operations).toMatchObject([lastKnown]);
  const listed = await client.listOperations({}, within3s);
  expect(listed.operations).toMatchObject([lastKnown]);
  const waited = await client.waitOperation({ operationId, timeout: { nanos: 1_000_000 } }, within3s);
  expect(waited.freshness).toMatchObject(lastKnown.freshness);
  const metrics = await client.getMetrics({ operationId }, within3s);
  expect(metrics.freshness).toMatchObject(lastKnown.freshness);
}

describe("an unreachable host", { timeout: 30_000 }, () => {
  test("a host stopped with SIGSTOP gives stale answers with a reason within 3 s, never an error, and recovers when it returns", async () => {
    const { client, host, operationId } = await runningOperation();

    host.kill("SIGSTOP");
    await expectStaleAnswers(client, operationId, host);

    host.kill("SIGCONT");
    const recovered = await operationWhen(client, operationId, ({ freshness }) => freshness?.stale === false);
    expect(recovered).toMatchObject({ status: OperationStatus.RUNNING, freshness: { staleReason: "" } });
    await client.cancelOperation({ operationId, reason: "seen enough" });
    const ended = await operationWhen(client, operationId, ({ status }) => status !== OperationStatus.RUNNING);
    expect(ended.status).toBe(OperationStatus.CANCELLED);
  });

  test("a host killed gives stale answers with a reason within 3 s, never an error, and once it is back its word: FAILED with PROCESS_RESTARTED", async () => {
    const { client, host, startHost, operationId } = await runningOperation();

    host.kill("SIGKILL");
    await host.exited;
    await expectStaleAnswers(client, operationId, host);

    const restarted = await startHost();
    expect(restarted.url).toBe(host.url);
    const ended = await operationWhen(client, operationId, ({ status }) => status !== OperationStatus.RUNNING);
    expect(ended).toMatchObject({
      status: OperationStatus.FAILED,
      error: { reason: "PROCESS_RESTARTED" },
      freshness: { stale: false },
    });
    const { operation: atHost } = await restarted.client.getOperation({ operationId });
    expect(atHost?.error).toEqual(ended.error);
  });

  test("an operation created while the host is frozen is stored, says why it waits, and runs once when the host returns", async () => {
    const { client, host } = await runningOperation();
    host.kill("SIGSTOP");

    const { operation } = await client.createOperation({ operationType: "custom" }, { timeoutMs: 3_000 });
    const operationId = operation?.operationId ?? "";
    const waiting = await operationWhen(client, operationId, ({ freshness }) => freshness?.stale === true);
    expect(waiting.status).toBe(OperationStatus.PENDING);
    expect(waiting.freshness?.staleReason).toContain(host.url);

    host.kill("SIGCONT");
    const ended = await operationWhen(client, operationId, ({ status }) => status === OperationStatus.COMPLETED);
    expect(ended).toMatchObject({ attempt: 1, metricsCursor: 3n, progress: { percentage: 100 } });
    const { total } = await host.client.countOperations({});
    expect(total).toBe(2n);
  });
});
