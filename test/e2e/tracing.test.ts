import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { deadlineMs, operationIn } from "../support/operation-when.ts";
import { type ReceivedSpan, startOtlpCollector } from "../support/otlp-collector.ts";
import { startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

type LogLine = Record<string, unknown>;

const traceId = "0af7651916cd43dd8448eb211c80319c";
const callerSpanId = "b7ad6b7169203331";
const traced = { headers: { traceparent: `00-${traceId}-${callerSpanId}-01`, tracestate: "vendor=value" } };
const service = "longhaul.v1.OperationsService";
const kind = { internal: 1, server: 2, client: 3 };

/** A gateway and its host, each a process, with what they log; they export to `endpoint` if there is one. */
async function startChain(endpoint?: string) {
  const logs = { gateway: [] as LogLine[], host: [] as LogLine[] };
  const start = (name: keyof typeof logs, dataDir: string, routes: Record<string, string>) => {
    const otel = endpoint && {
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_EXPORTER_OTLP_HEADERS: "x-api-key=collector-key",
      OTEL_SERVICE_NAME: name,
      OTEL_BSP_SCHEDULE_DELAY: "20",
    };
    const settings = { logLevel: "debug", cacheTtlMs: 60_000, routes, ...(otel && { otel }) };
    return startServerProcess(dataDir, settings, { ...otel }, (line) => logs[name].push(line));
  };
  const host = await start("host", await temporaryDirectory(), {});
  const gateway = await start("gateway", await temporaryDirectory(), { training: host.url });
  return { gateway, host, logs };
}

/** The line about a call of a method, once it is there. */
async function callLine(lines: readonly LogLine[], method: string): Promise<LogLine> {
  const find = () => lines.find((line) => line["msg"] === "call" && line["method"] === `${service}/${method}`);
  await expect.poll(find, { timeout: deadlineMs }).toBeDefined();
  return find() ?? {};
}

describe("one call is one trace", { timeout: 30_000 }, () => {
  test("in the logs and spans of caller, gateway and host", async () => {
    const collector = await startOtlpCollector();
    const { gateway, logs } = await startChain(collector.url);
    const { operation } = await gateway.client.createOperation(
      { operationType: "training", metadata: { parameters: { hold: true } } },
      traced,
    );
    const operationId = operation?.operationId ?? "";
    const find = (from: string, name: string, of: Partial<ReceivedSpan>) =>
      expect
        .poll(() => collector.spans.filter((span) => span.service === from && span.name === name), {
          timeout: deadlineMs,
        })
        .toContainEqual(expect.objectContaining(of));
    const span = async (from: string, name: string, of: Partial<ReceivedSpan>): Promise<ReceivedSpan> => {
      await find(from, name, of);
      const isSo = (one: ReceivedSpan) =>
        Object.entries(of).every(([key, value]) => one[key as keyof typeof one] === value);
      return collector.spans.find((one) => one.service === from && one.name === name && isSo(one)) as ReceivedSpan;
    };

    const create = `${service}/CreateOperation`;
    const atGateway = await span("gateway", create, { kind: kind.server, traceId, parentSpanId: callerSpanId });
    await find("gateway", "longhaul store.create", { traceId, parentSpanId: atGateway.spanId });
    const passedOn = await span("gateway", create, { kind: kind.client, traceId, parentSpanId: atGateway.spanId });
    const atHost = await span("host", create, { kind: kind.server, traceId, parentSpanId: passedOn.spanId });
    await find("host", "longhaul store.create", { traceId, parentSpanId: atHost.spanId });
    expect(atGateway.attributes).toMatchObject({
      "rpc.system.name": "grpc",
      "rpc.method": create,
      "rpc.status_code": "OK",
      "longhaul.operation_id": operationId,
    });
    expect(passedOn.attributes).toMatchObject({ "server.address": "127.0.0.1", "rpc.status_code": "OK" });
    for (const lines of [logs.gateway, logs.host]) {
      expect(await callLine(lines, "CreateOperation")).toMatchObject({ trace_id: traceId, operationId, code: "OK" });
    }

    // Of a Get that asks the host, too: the pull is a part of it.
    await operationIn(gateway.client, operationId, OperationStatus.RUNNING);
    const get = `${service}/GetOperation`;
    const otherTrace = "1".repeat(32);
    await gateway.client.getOperation(
      { operationId, maxStaleness: { seconds: 0n } },
      { headers: { traceparent: `00-${otherTrace}-${callerSpanId}-01` } },
    );
    const got = await span("gateway", get, { kind: kind.server, traceId: otherTrace });
    const pull = await span("gateway", "longhaul pull", { traceId: otherTrace, parentSpanId: got.spanId });
    const asked = await span("gateway", get, { kind: kind.client, traceId: otherTrace, parentSpanId: pull.spanId });
    await find("host", get, { kind: kind.server, traceId: otherTrace, parentSpanId: asked.spanId });
    expect(collector.headers).toMatchObject({ "x-api-key": "collector-key" });
  });

  test("in the logs when nobody records spans", async () => {
    const { gateway, logs } = await startChain();
    const { operation } = await gateway.client.createOperation({ operationType: "training" }, traced);
    for (const lines of [logs.gateway, logs.host]) {
      expect(await callLine(lines, "CreateOperation")).toMatchObject({
        trace_id: traceId,
        operationId: operation?.operationId,
      });
    }
  });

  test("in the logs under an id of the gateway's when the caller brings none", async () => {
    const { gateway, logs } = await startChain();
    await gateway.client.createOperation({ operationType: "training" });
    const { trace_id } = await callLine(logs.gateway, "CreateOperation");
    expect(trace_id).toMatch(/^[0-9a-f]{32}$/);
    expect(await callLine(logs.host, "CreateOperation")).toMatchObject({ trace_id });
  });
});

test("a collector that is not there neither fails calls nor keeps the server from stopping, and the log says so", async () => {
  // Port 9 is discard, which nobody serves.
  const { gateway, logs } = await startChain("http://127.0.0.1:9");
  const { operation } = await gateway.client.createOperation({ operationType: "training" });
  await operationIn(gateway.client, operation?.operationId ?? "", OperationStatus.COMPLETED);
  gateway.kill("SIGTERM");
  await expect
    .poll(() => logs.gateway.map(({ msg }) => msg), { timeout: deadlineMs })
    .toContain("the last spans could not be exported in time");
});
