import { describe, expect, onTestFinished, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { operationIn, operationWhen } from "../support/operation-when.ts";
import { startServerProcess } from "../support/server-process.ts";
import { type ProxyMode, startTcpProxy } from "../support/tcp-proxy.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { startTestServer } from "../support/test-server.ts";
import { threadedOperation } from "../support/threaded-operation.ts";

const { PENDING, RUNNING, COMPLETED, CANCELLED } = OperationStatus;
const sweepIntervalMs = 4_000;
/** The time to the next sweep, with what a busy machine may add, and less than to the one after it. */
const recoveryMs = 1.6 * sweepIntervalMs;

/** A gateway, a proxy, and a host behind it with work that a test leads. */
async function partitionable() {
  const host = await startServerProcess(await temporaryDirectory());
  const proxy = await startTcpProxy(host.port);
  onTestFinished(() => proxy.close());
  const settings = { routes: { threaded: proxy.url }, pullTimeoutMs: 400, sweepIntervalMs };
  const { client } = await startTestServer({ settings });
  const work = await threadedOperation(client);
  return { client, host, proxy, work, operationId: work.operationId };
}

const partitions: readonly [string, ProxyMode][] = [
  ["connections are reset and refused", "reset"],
  ["nothing goes through either way", "black-hole"],
  ["calls arrive and answers do not", "to-target-only"],
  ["neither calls arrive nor answers that are on their way get lost", "to-client-only"],
  ["every byte takes longer than a call may", { delayMs: 700 }],
];

describe.each(partitions)("a partition between gateway and host in which %s", (_, mode) => {
  test("makes the operation stale and nothing else, and is over with one sweep", { timeout: 60_000 }, async () => {
    const { client, proxy, operationId, work } = await partitionable();
    proxy.setMode(mode);
    const stale = await operationWhen(client, operationId, ({ freshness }) => freshness?.stale === true);
    expect(stale).toMatchObject({ status: RUNNING, progress: { percentage: 10 } });
    expect(stale.freshness?.staleReason).not.toBe("");
    proxy.setMode("pass");
    await expect
      .poll(async () => (await client.listOperations({})).operations[0]?.freshness?.stale, { timeout: recoveryMs })
      .toBe(false);
    work.write("finish");
    expect(await operationIn(client, operationId, COMPLETED)).toMatchObject({ attempt: 1 });
  });

  test("keeps what ends meanwhile from being told wrongly", { timeout: 60_000 }, async () => {
    const { client, host, proxy, operationId, work } = await partitionable();
    proxy.setMode(mode);
    await operationWhen(client, operationId, ({ freshness }) => freshness?.stale === true);
    work.write("finish");
    await operationIn(host.client, operationId, COMPLETED);
    expect((await client.getOperation({ operationId, maxStaleness: {} })).operation?.status).toBe(RUNNING);
    proxy.setMode("pass");
    await expect
      .poll(async () => (await client.listOperations({})).operations[0]?.status, { timeout: recoveryMs })
      .toBe(COMPLETED);
  });

  test("does not lose a cancellation", { timeout: 60_000 }, async () => {
    const { client, proxy, operationId, work } = await partitionable();
    proxy.setMode(mode);
    const { operation } = await client.cancelOperation({ operationId, reason: "too slow" });
    expect(operation).toMatchObject({ status: RUNNING, cancellation: { reason: "too slow" } });
    expect(operation?.cancellation?.deliveredAt).toBeUndefined();
    proxy.setMode("pass");
    expect(await work.seenByThread()).toMatchObject({ reason: "too slow" });
    work.write("release");
    expect((await operationIn(client, operationId, CANCELLED)).cancellation).toMatchObject({ forced: false });
  });

  test("keeps new operations waiting, and each runs once", { timeout: 60_000 }, async () => {
    const { client, host, proxy } = await partitionable();
    proxy.setMode(mode);
    const directory = await temporaryDirectory();
    const { operation } = await client.createOperation({
      operationType: "threaded",
      metadata: { parameters: { directory } },
    });
    const operationId = operation?.operationId ?? "";
    const waiting = await operationWhen(client, operationId, ({ freshness }) => freshness?.stale === true);
    expect(waiting.status).toBe(PENDING);
    proxy.setMode("pass");
    expect(await operationIn(client, operationId, RUNNING)).toMatchObject({ attempt: 1 });
    expect((await host.client.getOperation({ operationId })).operation?.attempt).toBe(1);
    expect((await host.client.countOperations({})).total).toBe(2n);
  });
});

test("connections that die in a partition are made anew", { timeout: 60_000 }, async () => {
  const { client, proxy, operationId, work } = await partitionable();
  proxy.setMode("black-hole");
  await operationWhen(client, operationId, ({ freshness }) => freshness?.stale === true);
  proxy.setMode("reset");
  proxy.setMode("pass");
  await operationWhen(client, operationId, ({ freshness }) => freshness?.stale === false);
  work.write("finish");
  await operationIn(client, operationId, COMPLETED);
});
