import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { operationIn, operationWhen } from "../support/operation-when.ts";
import { type ServerProcess, startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import type { OperationsClient } from "../support/test-client.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";

const { PENDING, RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;

async function createOf(client: OperationsClient, operationType: string, parameters: object) {
  const { operation } = await client.createOperation({ operationType, metadata: { parameters: { ...parameters } } });
  return operation?.operationId ?? "";
}

class OneAtATime extends TestServices {
  override readonly maxConcurrentOperations = 1;
}

/** Ends a server with kill -9 and starts another one on its data and port. */
async function restarted(server: ServerProcess, dataDir: string): Promise<ServerProcess> {
  server.kill("SIGKILL");
  await server.exited;
  return startServerProcess(dataDir, { port: server.port });
}

const hasDone = (steps: bigint) => (operation: { progress?: { stepsCompleted: bigint } | undefined }) =>
  (operation.progress?.stepsCompleted ?? 0n) >= steps;

describe("a single server killed and started again", { timeout: 60_000 }, () => {
  test("has FAILED what ran in it with PROCESS_RESTARTED, and keeps its metrics", async () => {
    const dataDir = await temporaryDirectory();
    const before = await startServerProcess(dataDir);
    const operationId = await createOf(before.client, "training", { hold: true });
    await operationWhen(before.client, operationId, hasDone(3n));
    await before.client.getMetrics({ operationId });
    const { client } = await restarted(before, dataDir);
    const { operation } = await client.getOperation({ operationId });
    expect(operation).toMatchObject({
      status: FAILED,
      error: { reason: "PROCESS_RESTARTED" },
      attempt: 1,
      metricsCursor: 3n,
    });
    expect((await client.getMetrics({ operationId })).newCursor).toBe(3n);
  });

  test("runs a restartable one again as attempt 2; cursors go on, and every record says its attempt", async () => {
    const dataDir = await temporaryDirectory();
    const ledger = join(dataDir, "ledger");
    const before = await startServerProcess(dataDir);
    const operationId = await createOf(before.client, "restartable", { records: 4, hold: true, ledger });
    await operationWhen(before.client, operationId, hasDone(4n));
    const { newCursor: cursor } = await before.client.getMetrics({ operationId });
    expect(cursor).toBe(4n);
    const { client } = await restarted(before, dataDir);
    const again = await operationWhen(client, operationId, ({ attempt, metricsCursor }) => {
      return attempt === 2 && metricsCursor === 8n;
    });
    expect(again).toMatchObject({ status: RUNNING, metricsCursor: 8n });
    const { metrics, newCursor } = await client.getMetrics({ operationId, cursor });
    expect(newCursor).toBe(8n);
    const records = metrics?.metrics.case === "custom" ? metrics.metrics.value.records : [];
    expect(records.map(({ sequence, attempt }) => [sequence, attempt])).toEqual([
      [5n, 2],
      [6n, 2],
      [7n, 2],
      [8n, 2],
    ]);
    expect(readFileSync(ledger, "utf8")).toBe(`${operationId} 1\n${operationId} 2\n`);
  });

  test("has one that waits to be run again stale until it is its turn, and cancels it at once", async () => {
    const dataDir = await temporaryDirectory();
    const before = await startServerProcess(dataDir);
    const operationIds: string[] = [];
    for (let count = 0; count < 3; count++) {
      const operationId = await createOf(before.client, "restartable", { records: 2, hold: true });
      await operationWhen(before.client, operationId, hasDone(2n));
      operationIds.push(operationId);
    }
    const [first = "", second = "", third = ""] = operationIds;
    before.kill("SIGKILL");
    await before.exited;
    const { client } = await startTestServer({ dataDir, orchestrators: [new OneAtATime()] });
    await operationWhen(client, first, ({ attempt }) => attempt === 2);
    const waiting = {
      status: RUNNING,
      attempt: 1,
      freshness: { stale: true, staleReason: "it waits to be run again" },
    };
    expect((await client.getOperation({ operationId: second })).operation).toMatchObject(waiting);
    expect((await client.getOperation({ operationId: third })).operation).toMatchObject(waiting);
    await client.cancelOperation({ operationId: second, reason: "enough" });
    expect(await operationIn(client, second, CANCELLED)).toMatchObject({
      attempt: 1,
      cancellation: { reason: "enough", forced: false },
    });
    // The first one holds its place all the while.
    expect((await client.getOperation({ operationId: third })).operation).toMatchObject(waiting);
    await client.cancelOperation({ operationId: first, reason: "enough" });
    await operationWhen(client, third, ({ attempt, freshness }) => attempt === 2 && freshness?.stale === false);
  });

  test("goes through with a cancellation that was asked for before", async () => {
    const dataDir = await temporaryDirectory();
    const before = await startServerProcess(dataDir, { cancellationGraceMs: 60_000 });
    const directory = await temporaryDirectory();
    const operationId = await createOf(before.client, "threaded", { directory, ignoresToken: true });
    await operationIn(before.client, operationId, RUNNING);
    await before.client.cancelOperation({ operationId, reason: "enough" });
    const { client } = await restarted(before, dataDir);
    const { operation } = await client.getOperation({ operationId });
    expect(operation).toMatchObject({ status: CANCELLED, cancellation: { reason: "enough", forced: true } });
  });
});

describe("a host killed and started again, seen through its gateway", { timeout: 60_000 }, () => {
  async function gatewayAndHost(operationType: string) {
    const dataDir = await temporaryDirectory();
    const host = await startServerProcess(dataDir);
    const { client } = await startTestServer({ settings: { routes: { [operationType]: host.url } } });
    return { client, host, dataDir };
  }

  test("has FAILED what ran in it with PROCESS_RESTARTED", async () => {
    const { client, host, dataDir } = await gatewayAndHost("training");
    const operationId = await createOf(client, "training", { hold: true });
    await operationWhen(client, operationId, hasDone(3n));
    await restarted(host, dataDir);
    const ended = await operationIn(client, operationId, FAILED);
    expect(ended).toMatchObject({ error: { reason: "PROCESS_RESTARTED" }, freshness: { stale: false } });
    expect((await client.getMetrics({ operationId })).newCursor).toBe(3n);
  });

  test("runs a restartable one again: the gateway shows attempt 2, progress from the beginning, and every record", async () => {
    const { client, host, dataDir } = await gatewayAndHost("restartable");
    const operationId = await createOf(client, "restartable", { records: 4, delayMs: 300 });
    await operationWhen(client, operationId, hasDone(2n));
    const { newCursor: cursor } = await client.getMetrics({ operationId });
    await restarted(host, dataDir);
    const again = await operationWhen(client, operationId, ({ attempt }) => attempt === 2);
    expect(again.progress?.percentage).toBeLessThan(100);
    const ended = await operationIn(client, operationId, COMPLETED);
    expect(ended).toMatchObject({ attempt: 2, progress: { percentage: 100 } });
    const { metrics, newCursor } = await client.getMetrics({ operationId });
    expect(newCursor).toBeGreaterThanOrEqual(cursor + 4n);
    const records = metrics?.metrics.case === "custom" ? metrics.metrics.value.records : [];
    expect(records.map(({ sequence }) => sequence)).toEqual(records.map((_, index) => BigInt(index + 1)));
    expect(records.filter(({ attempt }) => attempt === 2)).toHaveLength(4);
  });

  test("goes on with what waited for its turn", async () => {
    const { client, host, dataDir } = await gatewayAndHost("training");
    host.kill("SIGSTOP");
    const operationId = await createOf(client, "training", {});
    await operationIn(client, operationId, PENDING);
    await restarted(host, dataDir);
    expect(await operationIn(client, operationId, COMPLETED)).toMatchObject({ attempt: 1 });
  });
});

test("a gateway killed and started again attaches to what its hosts run, and misses no record", async () => {
  const host = await startServerProcess(await temporaryDirectory());
  const dataDir = await temporaryDirectory();
  const settings = { routes: { training: host.url } };
  const first = await startServerProcess(dataDir, settings);
  const operationId = await createOf(first.client, "training", { records: 8, delayMs: 1_500 });
  await operationWhen(first.client, operationId, hasDone(2n));
  const { newCursor: cursor } = await first.client.getMetrics({ operationId });
  first.kill("SIGKILL");
  await first.exited;
  const { client } = await startServerProcess(dataDir, settings);
  const { operation } = await client.getOperation({ operationId });
  expect(operation).toMatchObject({ status: RUNNING, attempt: 1, host: host.url, freshness: { stale: false } });
  await operationIn(client, operationId, COMPLETED);
  const { metrics, newCursor } = await client.getMetrics({ operationId, cursor });
  expect(newCursor).toBe(8n);
  const epochs = metrics?.metrics.case === "training" ? metrics.metrics.value.epochs : [];
  expect(epochs.map(({ sequence }) => sequence)).toEqual(
    Array.from({ length: 8 - Number(cursor) }, (_, index) => cursor + BigInt(index + 1)),
  );
}, 60_000);

test("a gateway started again without its routes still attaches to what its hosts run", async () => {
  const host = await startServerProcess(await temporaryDirectory());
  const dataDir = await temporaryDirectory();
  const first = await startServerProcess(dataDir, { routes: { training: host.url } });
  const operationId = await createOf(first.client, "training", { hold: true });
  await operationWhen(first.client, operationId, hasDone(2n));
  first.kill("SIGKILL");
  await first.exited;
  const { client } = await startTestServer({ dataDir });
  const { operation } = await client.getOperation({ operationId });
  expect(operation).toMatchObject({ status: RUNNING, attempt: 1, host: host.url, freshness: { stale: false } });
  await client.cancelOperation({ operationId, reason: "enough" });
  await operationIn(client, operationId, CANCELLED);
}, 60_000);
