import { describe, expect, onTestFinished, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { operationIn, operationWhen } from "../support/operation-when.ts";
import { startServerProcess } from "../support/server-process.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { startTestServer } from "../support/test-server.ts";
import { threadedOperation } from "../support/threaded-operation.ts";

const { RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;

/** A gateway, a host in a process of its own, and an operation in a worker thread there. */
async function runningOperation(hostLostAfterMs: number) {
  const dataDir = await temporaryDirectory();
  const host = await startServerProcess(dataDir, { cancellationGraceMs: 60_000 });
  const settings = { routes: { threaded: host.url }, pullTimeoutMs: 300, hostLostAfterMs };
  const { client } = await startTestServer({ settings });
  const work = await threadedOperation(client);
  await operationIn(client, work.operationId, RUNNING);
  return { client, host, dataDir, work, operationId: work.operationId };
}

describe("a host that was silent for longer than host_lost_after", { timeout: 60_000 }, () => {
  test("has lost its operations: FAILED with HOST_LOST, and its late results change nothing", async () => {
    const { client, host, work, operationId } = await runningOperation(1_000);
    host.kill("SIGSTOP");
    const lost = await operationIn(client, operationId, FAILED);
    expect(lost.error).toMatchObject({ reason: "HOST_LOST" });
    expect(lost.error?.message).toContain(host.url);

    work.write("finish");
    host.kill("SIGCONT");
    await expect
      .poll(async () => (await host.client.getOperation({ operationId })).operation?.status, { timeout: 10_000 })
      .toBeGreaterThan(RUNNING);
    const { operation } = await client.getOperation({ operationId, maxStaleness: {} });
    expect(operation).toEqual(lost);
  });

  test("has its work cut off when it comes back", async () => {
    const { client, host, operationId } = await runningOperation(1_000);
    host.kill("SIGSTOP");
    await operationIn(client, operationId, FAILED);
    host.kill("SIGCONT");
    const atHost = await operationIn(host.client, operationId, CANCELLED);
    expect(atHost.cancellation).toMatchObject({ forced: true, reason: expect.stringContaining("lost the operation") });
    expect((await client.getOperation({ operationId })).operation?.status).toBe(FAILED);
  });
});

describe("a host that comes back inside host_lost_after", { timeout: 60_000 }, () => {
  test("goes on as if nothing had happened", async () => {
    const { client, host, work, operationId } = await runningOperation(60_000);
    host.kill("SIGSTOP");
    const stale = await operationWhen(client, operationId, ({ freshness }) => freshness?.stale === true);
    expect(stale.status).toBe(RUNNING);
    host.kill("SIGCONT");
    await operationWhen(client, operationId, ({ freshness }) => freshness?.stale === false);
    work.write("finish");
    expect(await operationIn(client, operationId, COMPLETED)).toMatchObject({ attempt: 1 });
  });

  test("hears of a cancellation that was asked for in between", async () => {
    const { client, host, work, operationId } = await runningOperation(60_000);
    host.kill("SIGSTOP");
    const { operation } = await client.cancelOperation({ operationId, reason: "too slow" });
    expect(operation).toMatchObject({ status: RUNNING, cancellation: { reason: "too slow" } });
    expect(operation?.cancellation?.deliveredAt).toBeUndefined();
    host.kill("SIGCONT");
    expect(await work.seenByThread()).toMatchObject({ reason: "too slow" });
    work.write("release");
    expect((await operationIn(client, operationId, CANCELLED)).cancellation).toMatchObject({ forced: false });
  });

  test("and has finished the work before the cancellation arrives: COMPLETED, and says that it was asked", async () => {
    const host = await startServerProcess(await temporaryDirectory());
    const proxy = await startTcpProxy(host.port);
    onTestFinished(() => proxy.close());
    const { client } = await startTestServer({ settings: { routes: { threaded: proxy.url }, pullTimeoutMs: 300 } });
    const work = await threadedOperation(client);
    proxy.setMode("reset");
    const { operation } = await client.cancelOperation({ operationId: work.operationId, reason: "too slow" });
    expect(operation).toMatchObject({ status: RUNNING, cancellation: { reason: "too slow" } });
    work.write("finish");
    await operationIn(host.client, work.operationId, COMPLETED);
    proxy.setMode("pass");
    const ended = await operationWhen(client, work.operationId, ({ status }) => status > RUNNING);
    expect(ended).toMatchObject({ status: COMPLETED, cancellation: { reason: "too slow", forced: false } });
    expect(ended.cancellation?.acknowledgedAt).toBeUndefined();
  });
});

test("a host that has lost its data and denies the operation twice has lost it", async () => {
  const { client, host, operationId } = await runningOperation(60_000);
  host.kill("SIGKILL");
  await host.exited;
  await startServerProcess(await temporaryDirectory(), { port: host.port });
  const lost = await operationIn(client, operationId, FAILED);
  expect(lost.error).toMatchObject({ reason: "HOST_LOST" });
}, 60_000);
