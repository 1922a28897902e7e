import { describe, expect, onTestFinished, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { freePort } from "../support/free-port.ts";
import { operationIn, operationWhen } from "../support/operation-when.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { startTestReplicas } from "../support/test-replicas.ts";
import { threadedOperation } from "../support/threaded-operation.ts";

const { RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;
const leaseMs = 1_500;

async function proxyTo(port: number) {
  const proxy = await startTcpProxy(port);
  onTestFinished(() => proxy.close());
  return proxy;
}

describe("a replica that is cut off from the database alone", { timeout: 60_000 }, () => {
  test("answers as stale and writes nothing, loses what it runs to the others, and begins anew when it is back", async () => {
    const { database, databaseUrl, start } = await startTestReplicas(0, { leaseMs, pullTimeoutMs: 400 });
    const proxy = await proxyTo(database.port);
    const viaProxy = new URL(databaseUrl);
    viaProxy.port = String(proxy.port);
    const b = await start();
    const a = await start({ databaseUrl: viaProxy.href, databaseTimeoutMs: 1_000 });
    const work = await threadedOperation(a.client);
    const { operationId } = work;
    await operationWhen(b.client, operationId, ({ freshness }) => freshness?.stale === false);

    proxy.setMode("black-hole");
    const stale = await operationWhen(a.client, operationId, ({ freshness }) => freshness?.stale === true);
    expect(stale).toMatchObject({ status: RUNNING });
    await expect(a.client.createOperation({ operationType: "training" })).rejects.toThrow("the store");
    const settled = await operationIn(b.client, operationId, FAILED);
    expect(settled.error?.reason).toBe("PROCESS_RESTARTED");
    // The work ends where nobody hears of it any more.
    work.write("finish");
    expect((await a.client.getOperation({ operationId })).operation).toMatchObject({
      status: RUNNING,
      freshness: { stale: true },
    });

    proxy.setMode("pass");
    expect(await operationIn(a.client, operationId, FAILED)).toEqual(settled);
    const { operation } = await a.client.createOperation({ operationType: "training" });
    await operationIn(b.client, operation?.operationId ?? "", COMPLETED);
    expect((await b.client.getOperation({ operationId })).operation).toEqual(settled);
  });
});

describe("replicas that do not reach each other", { timeout: 60_000 }, () => {
  test("answer for each other's operations from the database, and pass on cancellations through it", async () => {
    const { start } = await startTestReplicas(0, { leaseMs, pullTimeoutMs: 400 });
    const port = await freePort();
    const proxy = await proxyTo(port);
    const a = await start({ port, advertiseUrl: proxy.url });
    const b = await start();
    const work = await threadedOperation(a.client);
    const { operationId } = work;
    await operationWhen(b.client, operationId, ({ freshness }) => freshness?.stale === false);

    proxy.setMode("black-hole");
    const stale = await operationWhen(b.client, operationId, ({ freshness }) => freshness?.stale === true);
    expect(stale).toMatchObject({ status: RUNNING, freshness: { staleReason: expect.stringContaining(proxy.url) } });
    const { operation } = await b.client.cancelOperation({ operationId, reason: "too slow" });
    expect(operation).toMatchObject({ status: RUNNING, cancellation: { reason: "too slow" } });
    expect(await work.seenByThread()).toMatchObject({ reason: "too slow" });
    work.write("release");
    // Its end is in the database, so it is known without the other one.
    const ended = await operationIn(b.client, operationId, CANCELLED);
    expect(ended).toMatchObject({ cancellation: { forced: false }, freshness: { stale: false } });
  });
});
