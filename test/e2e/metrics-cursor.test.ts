import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { GetMetricsResponseSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { Poller, sequences, upTo } from "../support/metrics-poller.ts";
import { deadlineMs, operationIn } from "../support/operation-when.ts";
import { startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import type { OperationsClient } from "../support/test-client.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";

const { COMPLETED, RUNNING } = OperationStatus;

async function create(client: OperationsClient, operationType: string, parameters: Record<string, JsonValue>) {
  const { operation } = await client.createOperation({ operationType, metadata: { parameters: parameters as never } });
  return operation?.operationId ?? "";
}

async function completed(client: OperationsClient, operationType: string, records: number): Promise<string> {
  const operationId = await create(client, operationType, { records });
  await operationIn(client, operationId, COMPLETED);
  return operationId;
}

const withServices = { orchestrators: [new TestServices()] };

describe("a cursor", () => {
  test("never repeats or skips a record, whatever the page sizes, across completion", async () => {
    const { client } = await startTestServer({ ...withServices, settings: { cacheTtlMs: 1 } });
    const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 30 }), fc.constantFrom(0, 2_147_483_647)), {
      minLength: 1,
      maxLength: 5,
    });
    const types = fc.constantFrom("training", "data_load", "backtesting", "custom");
    await fc.assert(
      fc.asyncProperty(
        types,
        fc.integer({ min: 0, max: 80 }),
        fc.constantFrom(0, 1),
        sizes,
        async (type, records, delayMs, some) => {
          const poller = new Poller(await create(client, type, { records, delayMs }));
          for (let turn = 0; ; turn++) {
            const { operation } = await client.getOperation({ operationId: poller.operationId });
            const page = await poller.poll(client, some[turn % some.length] ?? 0);
            if (operation?.status === COMPLETED && !page.hasMore) {
              expect(poller.cursor).toBe(operation.metricsCursor);
              break;
            }
          }
          expect(poller.seen).toEqual(upTo(type === "backtesting" ? records + Math.floor(records / 2) : records));
          const { newCursor, hasMore, pollAfter } = await poller.poll(client);
          expect({ newCursor, hasMore, pollAfter }).toEqual({
            newCursor: poller.cursor,
            hasMore: false,
            pollAfter: undefined,
          });
        },
      ),
      { numRuns: 25 },
    );
  });

  test("goes on across restarts of gateway and host, both by SIGKILL", async () => {
    const [hostDir, gatewayDir] = [await temporaryDirectory(), await temporaryDirectory()];
    let host = await startServerProcess(hostDir);
    const routes = { restartable: host.url };
    let gateway = await startServerProcess(gatewayDir, { services: "", routes });
    // Enough for the work to be under way still when the host is killed, however slowly the gateway comes back.
    const records = 1_500;
    const operationId = await create(gateway.client, "restartable", { records, delayMs: 5 });
    const poller = new Poller(operationId);
    const pollTo = (count: number) =>
      expect
        .poll(
          async () => {
            // The gateway answers what it has while its host is away.
            await poller.pollToEnd(gateway.client);
            return poller.seen.length;
          },
          { timeout: 20_000, interval: 20 },
        )
        .toBeGreaterThanOrEqual(count);
    await pollTo(20);
    gateway.kill("SIGKILL");
    await gateway.exited;
    gateway = await startServerProcess(gatewayDir, { services: "", routes, port: gateway.port });
    await pollTo(60);
    host.kill("SIGKILL");
    await host.exited;
    await poller.pollToEnd(gateway.client);
    host = await startServerProcess(hostDir, { port: host.port });
    const seenBefore = poller.seen.length;
    await pollTo(seenBefore + 20);
    gateway.kill("SIGKILL");
    await gateway.exited;
    gateway = await startServerProcess(gatewayDir, { services: "", routes, port: gateway.port });
    const done = await operationIn(gateway.client, operationId, COMPLETED);
    await poller.pollToEnd(gateway.client);
    expect(done.attempt).toBe(2);
    expect(poller.cursor).toBe(done.metricsCursor);
    // Every record of the second attempt, after those of the first that were acknowledged.
    expect(poller.seen).toEqual(upTo(poller.seen.length));
    expect(poller.seen.length).toBeGreaterThanOrEqual(records + 60);
    const onHost = new Poller(operationId);
    await onHost.pollToEnd(host.client);
    expect(onHost.seen).toEqual(poller.seen);
  }, 60_000);

  test("that is huge is answered with itself, and one that no log can reach is refused", async () => {
    const { client } = await startTestServer(withServices);
    const operationId = await completed(client, "training", 3);
    for (const cursor of [4n, 1_000_000n, 2n ** 53n - 1n]) {
      const page = await client.getMetrics({ operationId, cursor });
      expect(page).toMatchObject({ newCursor: cursor, hasMore: false });
      expect(sequences(page.metrics)).toEqual([]);
    }
    for (const cursor of [2n ** 53n, 2n ** 64n - 1n]) {
      await expect(client.getMetrics({ operationId, cursor })).rejects.toThrow(
        `cursor: ${cursor} must be less than or equal to`,
      );
    }
  });

  test("of another operation leads nowhere but on", async () => {
    const { client } = await startTestServer(withServices);
    const long = await completed(client, "training", 10);
    const short = await completed(client, "training", 4);
    const { newCursor } = await client.getMetrics({ operationId: long });
    expect(await client.getMetrics({ operationId: short, cursor: newCursor })).toMatchObject({
      newCursor,
      hasMore: false,
    });
    expect(sequences((await client.getMetrics({ operationId: short, cursor: 2n })).metrics)).toEqual([3, 4]);
  });
});

describe("metrics of", () => {
  test("a training are epochs and trends", async () => {
    const { client } = await startTestServer(withServices);
    const { metrics } = await client.getMetrics({ operationId: await completed(client, "training", 7) });
    expect(metrics?.metrics).toMatchObject({ case: "training", value: { trends: { epochCount: 7n, bestEpoch: 7 } } });
    const epochs = metrics?.metrics.case === "training" ? metrics.metrics.value.epochs : [];
    expect(epochs.map(({ epoch, attempt }) => [epoch, attempt])).toEqual(upTo(7).map((epoch) => [epoch, 1]));
    expect(epochs.every(({ recordedAt }) => recordedAt !== undefined)).toBe(true);
  });

  test("a data load are segments and totals", async () => {
    const { client } = await startTestServer(withServices);
    const { metrics } = await client.getMetrics({ operationId: await completed(client, "data_load", 20) });
    expect(metrics?.metrics).toMatchObject({
      case: "dataLoad",
      value: { totals: { segments: 20n, failedSegments: 2n, items: 2_000n, bytes: 81_920n, durationSeconds: 10 } },
    });
  });

  test("a backtest are bars, trades and a summary", async () => {
    const { client } = await startTestServer(withServices);
    const { metrics } = await client.getMetrics({ operationId: await completed(client, "backtesting", 6) });
    const { bars, trades, summary } = metrics?.metrics.case === "backtesting" ? metrics.metrics.value : {};
    expect(bars).toHaveLength(6);
    expect(trades?.map(({ trade, profit }) => [trade, profit])).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
    ]);
    expect(summary).toMatchObject({ bars: 6n, trades: 3n, winningTrades: 3n, totalProfit: 3, lastEquity: 1_006 });
  });

  test("an operation without records are empty, of its family", async () => {
    const { client } = await startTestServer(withServices);
    const page = await client.getMetrics({ operationId: await completed(client, "training", 0) });
    expect(page).toMatchObject({ newCursor: 0n, hasMore: false, metrics: { metrics: { case: "training" } } });
  });
});

test("NaN and infinities survive the store, binary and JSON", async () => {
  const { client, url } = await startTestServer(withServices);
  const operationId = await completed(client, "training", 5);
  const binary = await client.getMetrics({ operationId });
  const response = await fetch(`${url}/longhaul.v1.OperationsService/GetMetrics`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ operationId }),
  });
  const json = (await response.json()) as JsonValue;
  expect(json).toMatchObject({
    metrics: { training: { epochs: { 0: { trainLoss: "Infinity" }, 4: { valLoss: "NaN" } } } },
  });
  for (const { metrics } of [binary, fromJson(GetMetricsResponseSchema, json)]) {
    expect(metrics?.metrics.value).toMatchObject({
      epochs: [{ trainLoss: Number.POSITIVE_INFINITY }, {}, {}, {}, { valLoss: Number.NaN }],
      trends: { lastValLoss: Number.NaN, bestValLoss: 0.5 },
    });
  }
  expect(toJson(GetMetricsResponseSchema, binary)).toMatchObject({ newCursor: "5" });
});

test("latest answers the newest records after the cursor, and the summary of all", async () => {
  const { client } = await startTestServer(withServices);
  const operationId = await completed(client, "training", 50);
  const latest = async (cursor: bigint, maxRecords: number) => {
    const page = await client.getMetrics({ operationId, cursor, maxRecords, latest: true });
    expect(page).toMatchObject({ newCursor: 50n, hasMore: false });
    expect(page.metrics?.metrics.value).toMatchObject({ trends: { epochCount: 50n } });
    return sequences(page.metrics);
  };
  expect(await latest(0n, 3)).toEqual([48, 49, 50]);
  expect(await latest(49n, 3)).toEqual([50]);
  expect(await latest(0n, 1_000)).toEqual(upTo(50));
  expect(await latest(50n, 3)).toEqual([]);
});

test("records arrive while the work runs", async () => {
  const { client } = await startTestServer({ ...withServices, settings: { cacheTtlMs: 1 } });
  const operationId = await create(client, "training", { records: 3, hold: true });
  await operationIn(client, operationId, RUNNING);
  const poller = new Poller(operationId);
  await expect
    .poll(
      async () => {
        await poller.poll(client);
        return poller.seen.length;
      },
      { timeout: deadlineMs },
    )
    .toBe(3);
  await client.cancelOperation({ operationId, reason: "the test is over" });
});
