import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { ServiceOrchestrator } from "../../src/orchestrator/service-orchestrator.ts";
import { Poller, upTo } from "../support/metrics-poller.ts";
import { operationIn, operationWhen } from "../support/operation-when.ts";
import { startScriptedHost } from "../support/scripted-host.ts";
import { type ServerProcess, startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import type { OperationsClient } from "../support/test-client.ts";
import { startTestReplicas } from "../support/test-replicas.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";

const { RUNNING, COMPLETED } = OperationStatus;

const warningOf = (kept: number) =>
  `only the first ${kept} metric records are kept, further ones are dropped (maxMetricRecords)`;

async function create(client: OperationsClient, operationType: string, parameters: object = {}): Promise<string> {
  const { operation } = await client.createOperation({ operationType, metadata: { parameters: { ...parameters } } });
  return operation?.operationId ?? "";
}

/** Reads the log to its end, in small pages, and expects it to be the first records and to stay there. */
async function expectKept(client: OperationsClient, operationId: string, kept: number): Promise<void> {
  const poller = new Poller(operationId);
  while ((await poller.poll(client, 3)).hasMore) {}
  expect(poller.seen).toEqual(upTo(kept));
  const { newCursor, hasMore } = await poller.poll(client);
  expect({ newCursor, hasMore }).toEqual({ newCursor: BigInt(kept), hasMore: false });
  const latest = await client.getMetrics({ operationId, latest: true, maxRecords: 2 });
  expect(latest).toMatchObject({ newCursor: BigInt(kept), hasMore: false });
  const { operation } = await client.getOperation({ operationId });
  expect(operation?.metricsCursor).toBe(BigInt(kept));
}

class RecordingService extends ServiceOrchestrator {
  override readonly operations = {
    threaded: { workerModule: new URL("../support/recording-worker.ts", import.meta.url) },
  };
}

describe("work that records more metrics than are kept", () => {
  test("completes in the process, and says once that some were dropped", async () => {
    const settings = { maxMetricRecords: 5, cacheTtlMs: 1 };
    const { client } = await startTestServer({ orchestrators: [new TestServices()], settings });
    for (const [records, kept, warnings] of [
      [12, 5, [warningOf(5)]],
      [5, 5, []],
      [4, 4, []],
    ] as const) {
      const operationId = await create(client, "training", { records, delayMs: 5 });
      const done = await operationIn(client, operationId, COMPLETED);
      expect(done).toMatchObject({ warnings, resultSummary: { records } });
      await expectKept(client, operationId, kept);
      const { metrics } = await client.getMetrics({ operationId });
      expect(metrics?.metrics.value).toMatchObject({ trends: { epochCount: BigInt(kept) } });
    }
  });

  test("completes in a worker thread, however often they would fill the ring", async () => {
    const settings = { maxMetricRecords: 1_000 };
    const { client } = await startTestServer({ orchestrators: [new RecordingService()], settings });
    // Some 9 MB; the ring holds 1 MiB.
    const operationId = await create(client, "threaded", { records: 300_000 });
    const done = await operationIn(client, operationId, COMPLETED);
    expect(done).toMatchObject({ warnings: [warningOf(1_000)], resultSummary: { records: 300_000 } });
    await expectKept(client, operationId, 1_000);
  });
});

describe("a gateway", () => {
  /** A gateway over a host, each with its limit, and an operation of 12 records that has ended. */
  async function behindGateway(atGateway: number, atHost: number) {
    const host = await startTestServer({
      orchestrators: [new TestServices()],
      settings: { maxMetricRecords: atHost, cacheTtlMs: 1 },
    });
    const routes = { training: host.url };
    const { client } = await startTestServer({ settings: { maxMetricRecords: atGateway, cacheTtlMs: 1, routes } });
    const operationId = await create(client, "training", { records: 12, delayMs: 20 });
    await operationWhen(client, operationId, ({ status }) => status === RUNNING);
    await client.getMetrics({ operationId });
    const { warnings } = await operationIn(client, operationId, COMPLETED);
    return { client, hostClient: host.client, operationId, warnings };
  }

  test("that keeps fewer than its host has the first of them", async () => {
    const { client, hostClient, operationId, warnings } = await behindGateway(4, 8);
    expect([...warnings].sort()).toEqual([warningOf(4), warningOf(8)]);
    await expectKept(client, operationId, 4);
    await expectKept(hostClient, operationId, 8);
  });

  test("that keeps more than its host has all that the host keeps, and passes its warning on", async () => {
    const { client, operationId, warnings } = await behindGateway(20, 8);
    expect(warnings).toEqual([warningOf(8)]);
    await expectKept(client, operationId, 8);
  });

  test("asks its host for records until it has dropped one and never again, not even after a restart", async () => {
    let ended = false;
    let operationId = "";
    const info = () => ({
      operationId,
      operationType: "training",
      status: ended ? COMPLETED : RUNNING,
      attempt: 1,
      metricsCursor: 100n,
      revision: ended ? 2n : 1n,
    });
    const host = await startScriptedHost({
      createOperation: (request) => {
        operationId = request.operationId;
        return { operation: info() };
      },
      getOperation: () => ({ operation: info() }),
      getMetrics: ({ cursor }) => {
        const epochs = upTo(4, Number(cursor) + 1).map((epoch) => ({ sequence: BigInt(epoch), epoch, attempt: 1 }));
        return { metrics: { metrics: { case: "training", value: { epochs } } }, newCursor: cursor + 4n, hasMore: true };
      },
    });
    const dataDir = await temporaryDirectory();
    const settings = { maxMetricRecords: 6, cacheTtlMs: 0, routes: { training: host.url } };
    let gateway = await startServerProcess(dataDir, settings);
    const created = await create(gateway.client, "training");
    await operationIn(gateway.client, created, RUNNING);
    const read = async () => {
      const gets = host.calls("GetOperation");
      for (let turn = 0; turn < 3; turn++) await expectKept(gateway.client, created, 6);
      expect(host.calls("GetOperation")).toBeGreaterThan(gets);
      const { operation } = await gateway.client.getOperation({ operationId: created });
      expect(operation?.warnings).toEqual([warningOf(6)]);
      expect(host.calls("GetMetrics")).toBe(2);
    };
    await read();
    gateway.kill("SIGKILL");
    await gateway.exited;
    gateway = await startServerProcess(dataDir, settings);
    await read();
    ended = true;
    expect(await operationIn(gateway.client, created, COMPLETED)).toMatchObject({ warnings: [warningOf(6)] });
    await expectKept(gateway.client, created, 6);
    expect(host.calls("GetMetrics")).toBe(2);
  }, 30_000);
});

describe("what is kept and told stays", () => {
  const recorded = (client: OperationsClient, operationId: string, attempt: number) =>
    operationWhen(client, operationId, (operation) => {
      return operation.attempt === attempt && operation.progress?.stepsCompleted === 8n;
    });

  async function restarted(server: ServerProcess, dataDir: string, maxMetricRecords: number): Promise<ServerProcess> {
    server.kill("SIGKILL");
    await server.exited;
    return startServerProcess(dataDir, { maxMetricRecords });
  }

  test("across restarts, under a smaller limit, and with room again under a greater one", async () => {
    const dataDir = await temporaryDirectory();
    let server = await startServerProcess(dataDir, { maxMetricRecords: 5 });
    const operationId = await create(server.client, "restartable", { records: 8, hold: true });
    expect((await recorded(server.client, operationId, 1)).warnings).toEqual([warningOf(5)]);
    server = await restarted(server, dataDir, 3);
    expect((await recorded(server.client, operationId, 2)).warnings).toEqual([warningOf(5)]);
    await expectKept(server.client, operationId, 5);
    server = await restarted(server, dataDir, 10);
    expect((await recorded(server.client, operationId, 3)).warnings).toEqual([warningOf(10)]);
    await expectKept(server.client, operationId, 10);
    const { metrics } = await server.client.getMetrics({ operationId });
    const records = metrics?.metrics.case === "custom" ? metrics.metrics.value.records : [];
    expect(records.map(({ attempt }) => attempt)).toEqual([...upTo(5).fill(1), ...upTo(5).fill(3)]);
    await server.client.cancelOperation({ operationId, reason: "seen enough" });
  }, 30_000);

  test("when another server over the same database takes over", async () => {
    const { replicas } = await startTestReplicas(2, { leaseMs: 1_500, pullTimeoutMs: 400, maxMetricRecords: 5 });
    const [a, b] = replicas as [ServerProcess, ServerProcess];
    const operationId = await create(a.client, "restartable", { records: 8, hold: true });
    expect((await recorded(b.client, operationId, 1)).warnings).toEqual([warningOf(5)]);
    await expectKept(b.client, operationId, 5);
    a.kill("SIGKILL");
    expect((await recorded(b.client, operationId, 2)).warnings).toEqual([warningOf(5)]);
    await expectKept(b.client, operationId, 5);
    await b.client.cancelOperation({ operationId, reason: "seen enough" });
  }, 60_000);
});
