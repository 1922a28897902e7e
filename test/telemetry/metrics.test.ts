import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { freePort } from "../support/free-port.ts";
import { metricsPage } from "../support/metrics-page.ts";
import { operationIn } from "../support/operation-when.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";

const { RUNNING, CANCELLED, COMPLETED } = OperationStatus;
const method = (name: string) => `longhaul.v1.OperationsService/${name}`;
const hold = { metadata: { parameters: { hold: true } } };

async function startMeasuredServer(settings = {}) {
  return startTestServer({ orchestrators: [new TestServices()], settings: { adminPort: "0", ...settings } });
}

describe("the metrics page", () => {
  test("counts calls by method and code, with their duration", async () => {
    const { client, adminUrl } = await startMeasuredServer();
    await client.listOperations({});
    await client.listOperations({});
    const operationId = "op_training_20250120_093000_none";
    await expect(client.getOperation({ operationId })).rejects.toThrow(ConnectError);

    const page = await metricsPage(adminUrl);
    const requests = "longhaul_rpc_requests_total";
    expect(page.value(requests, { method: method("ListOperations"), code: "OK" })).toBe(2);
    expect(page.value(requests, { method: method("GetOperation"), code: "NOT_FOUND" })).toBe(1);
    expect(page.value("longhaul_rpc_request_duration_seconds_count", { method: method("ListOperations") })).toBe(2);
    expect(page.value("longhaul_rpc_requests_in_flight", { method: method("ListOperations") })).toBe(0);
  });

  test("shows what is in hand: operations by type and status, calls and waiters", async () => {
    const { client, adminUrl } = await startMeasuredServer();
    const { operation } = await client.createOperation({ operationType: "training", ...hold });
    const operationId = operation?.operationId ?? "";
    const running = await operationIn(client, operationId, RUNNING);
    const left = new AbortController();
    const waits = client
      .waitOperation({ operationId, knownRevision: running.revision, untilDone: true }, { signal: left.signal })
      .catch((error: unknown) => ConnectError.from(error).code);
    await expect.poll(async () => (await metricsPage(adminUrl)).value("longhaul_waiters")).toBe(1);

    const page = await metricsPage(adminUrl);
    expect(page.value("longhaul_operations_active", { type: "training", status: "running" })).toBe(1);
    expect(page.value("longhaul_operations_active", { type: "training", status: "pending" })).toBe(0);
    expect(page.value("longhaul_rpc_requests_in_flight", { method: method("WaitOperation") })).toBe(1);
    left.abort();
    expect(await waits).toBe(Code.Canceled);
    const ended = { method: method("WaitOperation"), code: "CANCELLED" };
    await expect.poll(async () => (await metricsPage(adminUrl)).value("longhaul_rpc_requests_total", ended)).toBe(1);
    expect((await metricsPage(adminUrl)).value("longhaul_waiters")).toBe(0);
  });

  test("tells how operations ended, and how long a cancellation took", async () => {
    const { client, adminUrl } = await startMeasuredServer();
    const done = await client.createOperation({ operationType: "training" });
    await client.waitOperation({ operationId: done.operation?.operationId ?? "", untilDone: true });
    const held = await client.createOperation({ operationType: "training", ...hold });
    const operationId = held.operation?.operationId ?? "";
    await operationIn(client, operationId, RUNNING);
    await client.cancelOperation({ operationId, reason: "a test" });
    await operationIn(client, operationId, CANCELLED);

    const page = await metricsPage(adminUrl);
    for (const status of ["completed", "cancelled"]) {
      expect(page.value("longhaul_operations_ended_total", { type: "training", status })).toBe(1);
      expect(page.value("longhaul_operation_duration_seconds_count", { type: "training", status })).toBe(1);
    }
    expect(page.value("longhaul_cancellation_duration_seconds_count")).toBe(1);
    expect(page.value("longhaul_operations_active", { type: "training", status: "running" })).toBe(0);
  });

  test("tells pulls by host and outcome, and reads that needed none", async () => {
    const host = await startTestServer({ orchestrators: [new TestServices()] });
    const routes = { training: host.url };
    const { client, adminUrl } = await startMeasuredServer({ routes, cacheTtlMs: 60_000 });
    const { operation } = await client.createOperation({ operationType: "training", ...hold });
    const operationId = operation?.operationId ?? "";
    await operationIn(client, operationId, RUNNING);
    const before = await metricsPage(adminUrl);
    await client.getOperation({ operationId });
    await client.getOperation({ operationId, maxStaleness: { seconds: 0n } });
    const after = await metricsPage(adminUrl);
    const grown = (name: string, labels: Record<string, string>) =>
      (after.value(name, labels) ?? 0) - (before.value(name, labels) ?? 0);
    expect(grown("longhaul_operation_reads_total", { result: "cached" })).toBe(1);
    expect(grown("longhaul_pulls_total", { host: host.url, outcome: "observed" })).toBeGreaterThanOrEqual(1);
    expect(grown("longhaul_pull_duration_seconds_count", { host: host.url })).toBeGreaterThanOrEqual(1);

    await host.stop();
    await client.getOperation({ operationId, maxStaleness: { seconds: 0n } });
    const down = await metricsPage(adminUrl);
    expect(down.value("longhaul_pulls_total", { host: host.url, outcome: "unreachable" })).toBeGreaterThanOrEqual(1);
  });

  test("counts many reads that share a pull as coalesced", async () => {
    const host = await startTestServer({ orchestrators: [new TestServices()] });
    const { client, adminUrl } = await startMeasuredServer({ routes: { training: host.url }, cacheTtlMs: 1 });
    const { operation } = await client.createOperation({ operationType: "training", ...hold });
    const operationId = operation?.operationId ?? "";
    await operationIn(client, operationId, RUNNING);
    await expect
      .poll(async () => {
        await Promise.all(Array.from({ length: 20 }, () => client.getOperation({ operationId })));
        return (await metricsPage(adminUrl)).value("longhaul_operation_reads_total", { result: "coalesced" });
      })
      .toBeGreaterThan(0);
  });

  test("tells the latency and the trouble of the store", async () => {
    const { client, adminUrl } = await startMeasuredServer();
    await client.createOperation({ operationType: "training" });
    const page = await metricsPage(adminUrl);
    expect(page.value("longhaul_store_call_duration_seconds_count", { call: "create", outcome: "ok" })).toBe(1);
    expect(page.value("longhaul_store_trouble")).toBe(0);
  });

  test("has the process's own: event loop delay, CPU, memory", async () => {
    const { adminUrl } = await startMeasuredServer();
    const page = await metricsPage(adminUrl);
    for (const name of [
      "nodejs_eventloop_lag_p99_seconds",
      "process_cpu_seconds_total",
      "process_resident_memory_bytes",
    ]) {
      expect(page.value(name), name).toBeDefined();
    }
  });

  test("keeps to the conventions: every metric says what it is, counters end in _total, times are in seconds", async () => {
    const { adminUrl } = await startMeasuredServer();
    const { types, described } = await metricsPage(adminUrl);
    const own = [...types].filter(([name]) => name.startsWith("longhaul_"));
    expect(own.length).toBeGreaterThan(10);
    for (const [name, type] of own) {
      expect(described, name).toContain(name);
      expect(name.endsWith("_total"), name).toBe(type === "counter");
      expect(name.endsWith("_seconds"), name).toBe(type === "histogram");
    }
  });

  test("does not grow with what callers make up", async () => {
    const { client, adminUrl } = await startMeasuredServer();
    // Not those of the store and of garbage collection, which go on by themselves.
    const isCallers = ({ name }: { readonly name: string }) => /^longhaul_(rpc|operation|pull)/.test(name);
    const size = async () => (await metricsPage(adminUrl)).samples.filter(isCallers).length;
    await expect(client.createOperation({ operationType: "unknown" })).rejects.toThrow();
    const before = await size();
    for (const operationType of ["made-up-1", "made-up-2"]) {
      await expect(client.createOperation({ operationType })).rejects.toThrow();
    }
    expect(await size()).toBe(before);
  });
});

test("two servers of one process count each for itself", async () => {
  const [one, other] = [await startMeasuredServer(), await startMeasuredServer()];
  const { operation } = await one.client.createOperation({ operationType: "training" });
  await operationIn(one.client, operation?.operationId ?? "", COMPLETED);
  const labels = { type: "training", status: "completed" };
  expect((await metricsPage(one.adminUrl)).value("longhaul_operations_ended_total", labels)).toBe(1);
  expect((await metricsPage(other.adminUrl)).value("longhaul_operations_ended_total", labels)).toBeUndefined();
});

describe("the admin port", () => {
  test("is off unless it is asked for", async () => {
    const { adminUrl } = await startTestServer();
    expect(adminUrl).toBeUndefined();
  });

  test("serves health and nothing else, and closes with the server", async () => {
    const server = await startMeasuredServer();
    expect(await (await fetch(`${server.adminUrl}/healthz`)).text()).toBe("ok\n");
    expect((await fetch(`${server.adminUrl}/`)).status).toBe(404);
    expect((await fetch(`${server.adminUrl}/metrics`, { method: "POST" })).status).toBe(405);
    await server.stop();
    await expect(fetch(`${server.adminUrl}/healthz`)).rejects.toThrow();
  });

  test("that is taken stops the start with its name", async () => {
    const port = await freePort();
    await startMeasuredServer({ adminPort: String(port) });
    await expect(startMeasuredServer({ adminPort: String(port) })).rejects.toThrow(`127.0.0.1:${port} for metrics`);
  });
});
