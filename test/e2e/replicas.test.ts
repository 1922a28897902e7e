import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { freePort } from "../support/free-port.ts";
import { operationIn, operationWhen } from "../support/operation-when.ts";
import { type ServerProcess, startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import type { OperationsClient } from "../support/test-client.ts";
import { startTestReplicas } from "../support/test-replicas.ts";
import { threadedOperation } from "../support/threaded-operation.ts";

const { PENDING, RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;
const leaseMs = 1_500;

async function createOf(client: OperationsClient, operationType: string, parameters: object = {}) {
  const { operation } = await client.createOperation({ operationType, metadata: { parameters: { ...parameters } } });
  return operation?.operationId ?? "";
}

const hasDone = (steps: bigint) => (operation: { progress?: { stepsCompleted: bigint } | undefined }) =>
  (operation.progress?.stepsCompleted ?? 0n) >= steps;

/** Waits until each replica knows of the others. */
async function introduced(replicas: readonly ServerProcess[]): Promise<void> {
  for (const { client } of replicas) {
    const operationId = await createOf(client, "training");
    await Promise.all(replicas.map((other) => operationIn(other.client, operationId, COMPLETED)));
  }
}

describe("replicas over one database", { timeout: 60_000 }, () => {
  test("each answer for operations that run in another: get, wait, metrics, list and cancel", async () => {
    const { replicas } = await startTestReplicas(3);
    const [a, b, c] = replicas as [ServerProcess, ServerProcess, ServerProcess];
    const operationId = await createOf(a.client, "training", { records: 5, hold: true });
    const atB = await operationWhen(b.client, operationId, hasDone(5n));
    expect(atB).toMatchObject({ status: RUNNING, host: "", freshness: { stale: false } });
    const { revision } = atB;
    const again = await operationWhen(
      b.client,
      operationId,
      ({ freshness }) => !isDeepStrictEqual(freshness, atB.freshness),
    );
    expect(again).toMatchObject({ revision, freshness: { stale: false } });
    const [fromA, fromC] = await Promise.all([
      a.client.getMetrics({ operationId }),
      c.client.getMetrics({ operationId }),
    ]);
    expect(fromC.metrics).toEqual(fromA.metrics);
    expect(fromC.newCursor).toBe(5n);
    const listed = await b.client.listOperations({ filter: { statuses: [RUNNING] } });
    expect(listed.operations.map((operation) => operation.progress?.stepsCompleted)).toEqual([5n]);

    const waiting = c.client.waitOperation({ operationId, untilDone: true, knownRevision: revision });
    const { operation } = await b.client.cancelOperation({ operationId, reason: "seen enough" });
    expect(operation?.cancellation).toMatchObject({ reason: "seen enough", deliveredAt: expect.anything() });
    expect((await waiting).operation).toMatchObject({ status: CANCELLED, cancellation: { forced: false } });
    await b.client.deleteOperation({ operationId });
    await expect(a.client.getOperation({ operationId })).rejects.toMatchObject({ code: Code.NotFound });
  });

  test("take over from one that was killed: each of its operations is settled once, within the lease and 5 s", async () => {
    const { replicas } = await startTestReplicas(3, { leaseMs, pullTimeoutMs: 400 });
    const [a, b, c] = replicas as [ServerProcess, ServerProcess, ServerProcess];
    await introduced(replicas);
    // Who judges others has itself been there for a lease.
    await sleep(leaseMs);
    const ledger = join(await temporaryDirectory(), "ledger");
    const lost = await Promise.all(
      Array.from({ length: 20 }, () => createOf(a.client, "training", { hold: true, ledger })),
    );
    const again = await createOf(a.client, "restartable", { hold: true, ledger });
    for (const operationId of [...lost, again]) {
      await operationWhen(b.client, operationId, hasDone(3n));
    }
    a.kill("SIGKILL");
    const killedAtMs = performance.now();
    const [first = ""] = lost;
    const stale = await operationWhen(b.client, first, ({ freshness }) => freshness?.stale === true);
    expect(stale.status).toBe(RUNNING);

    const settled = await Promise.all(lost.map((operationId) => operationIn(b.client, operationId, FAILED)));
    expect(performance.now() - killedAtMs).toBeLessThan(leaseMs + 5_000);
    for (const operation of settled) {
      expect(operation).toMatchObject({ error: { reason: "PROCESS_RESTARTED" }, metricsCursor: 3n, attempt: 1 });
      const { operation: atC } = await c.client.getOperation({ operationId: operation.operationId });
      expect(atC).toEqual(operation);
    }
    const rerun = await operationWhen(c.client, again, ({ attempt }) => attempt === 2);
    expect(rerun.status).toBe(RUNNING);
    await c.client.cancelOperation({ operationId: again, reason: "seen enough" });
    await operationIn(b.client, again, CANCELLED);
    const runs = readFileSync(ledger, "utf8").trim().split("\n").sort();
    expect(runs).toEqual([...lost.map((operationId) => `${operationId} 1`), `${again} 1`, `${again} 2`].sort());
  });

  test("take over at once from one that stops by itself, and give to its host what it had not given yet", async () => {
    const port = await freePort();
    const routes = { custom: `http://127.0.0.1:${port}` };
    // With the lease of a dead one they would have to wait half a minute.
    const { replicas } = await startTestReplicas(2, { leaseMs: 30_000, routes });
    const [a, b] = replicas as [ServerProcess, ServerProcess];
    await introduced(replicas);
    const running = await threadedOperation(a.client);
    const waiting = await createOf(a.client, "custom");
    await operationWhen(a.client, waiting, ({ freshness }) => freshness?.stale === true);
    a.kill("SIGTERM");
    running.write("release");
    await a.exited;
    expect(await operationIn(b.client, running.operationId, CANCELLED)).toMatchObject({
      cancellation: { reason: "the server is stopping", forced: false },
    });
    await startServerProcess(await temporaryDirectory(), { port });
    expect(await operationIn(b.client, waiting, COMPLETED)).toMatchObject({ attempt: 1 });
  });

  test("fence off one that was stopped for longer than its lease: it overwrites nothing and starts anew", async () => {
    const { replicas } = await startTestReplicas(2, { leaseMs, pullTimeoutMs: 400 });
    const [a, b] = replicas as [ServerProcess, ServerProcess];
    await introduced(replicas);
    await sleep(leaseMs);
    const work = await threadedOperation(a.client);
    const restartable = await createOf(a.client, "restartable", { records: 2, hold: true });
    await operationWhen(b.client, restartable, hasDone(2n));
    a.kill("SIGSTOP");
    const settled = await operationIn(b.client, work.operationId, FAILED);
    expect(settled.error?.reason).toBe("PROCESS_RESTARTED");
    const rerun = await operationWhen(b.client, restartable, ({ attempt, progress }) => {
      return attempt === 2 && progress?.stepsCompleted === 2n;
    });

    // Its work would now complete, and its records would follow.
    work.write("finish");
    a.kill("SIGCONT");
    const { operation: fromA } = await a.client.getOperation({ operationId: work.operationId });
    expect(fromA).toEqual(settled);
    const { operation: rerunFromA } = await a.client.getOperation({ operationId: restartable });
    expect({ ...rerunFromA, freshness: undefined }).toEqual({ ...rerun, freshness: undefined });
    // It is one of the group again, under another name.
    const operationId = await createOf(a.client, "training");
    await operationIn(b.client, operationId, COMPLETED);
    await sleep(leaseMs);
    expect((await b.client.getOperation({ operationId: work.operationId })).operation).toEqual(settled);
    const { metrics, newCursor } = await b.client.getMetrics({ operationId: restartable });
    expect(newCursor).toBe(4n);
    const records = metrics?.metrics.case === "custom" ? metrics.metrics.value.records : [];
    expect(records.map(({ attempt }) => attempt)).toEqual([1, 1, 2, 2]);
    await b.client.cancelOperation({ operationId: restartable, reason: "seen enough" });
  });

  test("keep a cancellation for one that does not answer, and it takes it up when it does", async () => {
    const { replicas } = await startTestReplicas(2, { leaseMs: 30_000, pullTimeoutMs: 400 });
    const [a, b] = replicas as [ServerProcess, ServerProcess];
    await introduced(replicas);
    const work = await threadedOperation(a.client);
    a.kill("SIGSTOP");
    const { operation } = await b.client.cancelOperation({ operationId: work.operationId, reason: "too slow" });
    expect(operation).toMatchObject({
      status: RUNNING,
      cancellation: { reason: "too slow" },
      freshness: { stale: true, staleReason: expect.stringContaining(a.url) },
    });
    expect(work.hasSeen()).toBe(false);
    a.kill("SIGCONT");
    // The next answer of it tells that it has not seen the request, so it is told.
    await operationWhen(b.client, work.operationId, ({ cancellation }) => cancellation?.deliveredAt !== undefined);
    expect(await work.seenByThread()).toMatchObject({ reason: "too slow" });
    work.write("release");
    await operationIn(b.client, work.operationId, CANCELLED);
  });

  test("name operations once, whichever of them is asked to create them", async () => {
    const { replicas } = await startTestReplicas(3);
    const requests = Array.from({ length: 30 }, (_, index) => ({
      operationType: "training",
      requestId: `r${index % 10}`,
    }));
    const created = await Promise.all(
      requests.map((request, index) => (replicas[index % 3] as ServerProcess).client.createOperation(request)),
    );
    const ids = new Set(created.map(({ operation }) => operation?.operationId));
    expect(ids.size).toBe(10);
    expect((await replicas[0]?.client.countOperations({}))?.total).toBe(10n);
  });
});

describe("when the database is gone", { timeout: 60_000 }, () => {
  test("reads of what is in memory go on as stale, writes are refused with RetryInfo, and it recovers by itself", async () => {
    const { database, replicas } = await startTestReplicas(2, { leaseMs });
    const [a, b] = replicas as [ServerProcess, ServerProcess];
    await introduced(replicas);
    const operationId = await createOf(a.client, "training", { records: 3, hold: true });
    await operationWhen(a.client, operationId, hasDone(3n));
    const ended = await createOf(b.client, "training");
    await operationIn(b.client, ended, COMPLETED);
    await database.kill();

    const { operation } = await a.client.getOperation({ operationId, maxStaleness: {} });
    expect(operation).toMatchObject({ status: RUNNING, progress: { stepsCompleted: 3n } });
    const stale = await operationWhen(a.client, operationId, ({ freshness }) => freshness?.stale === true);
    expect(stale.freshness?.staleReason).toContain("the store cannot be used");
    for (const call of [
      () => a.client.createOperation({ operationType: "training" }),
      () => a.client.cancelOperation({ operationId, reason: "not now" }),
      () => a.client.getOperation({ operationId: ended }),
      () => b.client.listOperations({}),
    ]) {
      const error = ConnectError.from(await call().catch((error: unknown) => error));
      expect(error.code).toBe(Code.Unavailable);
      expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "STORE_UNAVAILABLE" }]);
      expect(error.findDetails(RetryInfoSchema)[0]?.retryDelay).toBeDefined();
    }
    // Longer than the leases: nobody may be taken for dead when it comes back.
    await sleep(2 * leaseMs);
    await database.start();

    const back = await operationWhen(a.client, operationId, ({ freshness }) => freshness?.stale === false);
    expect(back).toMatchObject({ status: RUNNING, attempt: 1 });
    await sleep(3 * leaseMs);
    const { operation: atB } = await b.client.getOperation({ operationId });
    expect(atB).toMatchObject({ status: RUNNING, freshness: { stale: false } });
    expect(atB?.cancellation).toBeUndefined();
    await b.client.cancelOperation({ operationId, reason: "seen enough" });
    await operationIn(b.client, operationId, CANCELLED);
    expect((await b.client.getOperation({ operationId: ended })).operation?.status).toBe(COMPLETED);
  });

  test("a server can be stopped all the same", async () => {
    const { database, replicas } = await startTestReplicas(1);
    const [a] = replicas as [ServerProcess];
    await operationWhen(a.client, await createOf(a.client, "training", { hold: true }), hasDone(3n));
    database.freeze();
    a.kill("SIGTERM");
    await a.exited;
    database.thaw();
  });

  test("work that ends meanwhile has ended as soon as that can be stored", async () => {
    const { database, replicas } = await startTestReplicas(1, { leaseMs: 10_000 });
    const [a] = replicas as [ServerProcess];
    const work = await threadedOperation(a.client);
    await database.kill();
    work.write("finish");
    await operationWhen(a.client, work.operationId, ({ freshness }) => freshness?.stale === true);
    expect((await a.client.getOperation({ operationId: work.operationId })).operation?.status).toBe(RUNNING);
    await database.start();
    expect(await operationIn(a.client, work.operationId, COMPLETED)).toMatchObject({
      resultSummary: { finished: true },
    });
  });
});

test("a replica that is alone over its database settles what it left behind", async () => {
  const { replicas, start } = await startTestReplicas(1, { leaseMs });
  const [a] = replicas as [ServerProcess];
  const operationId = await createOf(a.client, "training", { hold: true });
  const waiting = await createOf(a.client, "training", { hold: true });
  await operationWhen(a.client, operationId, hasDone(3n));
  a.kill("SIGKILL");
  await a.exited;
  const { client } = await start();
  const { operation } = await client.getOperation({ operationId });
  expect(operation).toMatchObject({ status: RUNNING, freshness: { stale: true } });
  await operationIn(client, operationId, FAILED);
  expect((await operationWhen(client, waiting, ({ status }) => status !== PENDING)).status).toBe(FAILED);
}, 60_000);
