import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Code, ConnectError } from "@connectrpc/connect";
import { context } from "@opentelemetry/api";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { createServerLog } from "../../src/telemetry/server-log.ts";
import { traceHeaders } from "../../src/tracing/trace-context.ts";
import { deadlineMs, operationIn } from "../support/operation-when.ts";
import { type ReceivedSpan, startOtlpCollector } from "../support/otlp-collector.ts";
import { recordSpans } from "../support/recorded-spans.ts";
import { startScriptedHost } from "../support/scripted-host.ts";
import { startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { startTestServer } from "../support/test-server.ts";

type LogLine = Record<string, unknown>;

const traceId = "0af7651916cd43dd8448eb211c80319c";
const callerSpanId = "b7ad6b7169203331";
const traced = { headers: { traceparent: `00-${traceId}-${callerSpanId}-01`, tracestate: "vendor=value" } };
const service = "longhaul.v1.OperationsService";
const kind = { internal: 1, server: 2, client: 3 };

/** Starts a gateway or a host as a process, with what it logs; it exports to `endpoint` if there is one. */
async function startTraced(name: string, endpoint?: string, routes: Record<string, string> = {}, dataDir?: string) {
  const lines: LogLine[] = [];
  const otel = endpoint && {
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_EXPORTER_OTLP_HEADERS: "x-api-key=collector-key",
    OTEL_SERVICE_NAME: name,
    OTEL_BSP_SCHEDULE_DELAY: "20",
  };
  const settings = { logLevel: "debug", cacheTtlMs: 60_000, routes, ...(otel && { otel }) };
  const directory = dataDir ?? (await temporaryDirectory());
  const server = await startServerProcess(directory, settings, { ...otel }, (line) => lines.push(line));
  return { ...server, lines };
}

/** A gateway and its host. */
async function startChain(endpoint?: string) {
  const host = await startTraced("host", endpoint);
  const gateway = await startTraced("gateway", endpoint, { training: host.url });
  return { gateway, host, logs: { gateway: gateway.lines, host: host.lines } };
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

  test("with the line and the span that a caller writes itself", async () => {
    const spans = recordSpans();
    const lines: LogLine[] = [];
    const log = createServerLog("info", { write: (line) => void lines.push(JSON.parse(line)) });
    const collector = await startOtlpCollector();
    const { gateway, logs } = await startChain(collector.url);
    const caller = spans.call("caller");
    context.with(caller.context, () => log.info("calls"));
    const headers = traceHeaders(caller.context);
    await gateway.client.createOperation({ operationType: "training" }, { headers });
    caller.span.end();

    const [span] = spans.ended("caller");
    const ids = span?.spanContext();
    expect(lines).toMatchObject([{ msg: "calls", trace_id: ids?.traceId, span_id: ids?.spanId }]);
    for (const seen of [logs.gateway, logs.host]) {
      expect(await callLine(seen, "CreateOperation")).toMatchObject({ trace_id: ids?.traceId, code: "OK" });
    }
    const served = () =>
      collector.spans.filter(({ name, kind: of }) => name === `${service}/CreateOperation` && of === kind.server);
    await expect.poll(() => served().map((one) => one.service), { timeout: deadlineMs }).toHaveLength(2);
    expect(new Set(served().map(({ traceId: of }) => of))).toEqual(new Set([ids?.traceId]));
    expect(served().find((one) => one.service === "gateway")?.parentSpanId).toBe(ids?.spanId);
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

test("an operation that is given to its host after a restart is so in a trace of its own, with a link to the create's", {
  timeout: 60_000,
}, async () => {
  const collector = await startOtlpCollector();
  const host = await startTraced("host", collector.url);
  const dataDir = await temporaryDirectory();
  const routes = { training: host.url };
  const first = await startTraced("first", collector.url, routes, dataDir);
  host.kill("SIGSTOP");
  await first.client.createOperation({ operationType: "training" }, traced);
  const create = `${service}/CreateOperation`;
  const spanOf = (from: string, of: number) =>
    collector.spans.find((span) => span.service === from && span.name === create && span.kind === of);
  await expect.poll(() => spanOf("first", kind.server), { timeout: deadlineMs }).toBeDefined();
  first.kill("SIGKILL");
  await first.exited;
  host.kill("SIGCONT");

  await startTraced("second", collector.url, routes, dataDir);
  await expect.poll(() => spanOf("second", kind.client), { timeout: deadlineMs }).toBeDefined();
  const { traceId: createdIn, spanId: createdBy } = spanOf("first", kind.server) ?? {};
  const dispatched = spanOf("second", kind.client);
  expect(createdIn).toBe(traceId);
  expect(dispatched).toMatchObject({ parentSpanId: "", links: [{ traceId: createdIn, spanId: createdBy }] });
  expect(dispatched?.traceId).not.toBe(createdIn);
});

test("a trace goes on with every attempt to give an operation to its host, when nobody records spans", async () => {
  const seen: (string | null)[] = [];
  const host = await startScriptedHost({
    createOperation({ operationId }, { requestHeader }) {
      seen.push(requestHeader.get("traceparent"));
      if (seen.length < 3) {
        throw new ConnectError("not yet", Code.Unavailable);
      }
      return { operation: { operationId, status: OperationStatus.RUNNING } };
    },
  });
  const { client } = await startTestServer({ settings: { routes: { training: host.url } } });
  await client.createOperation({ operationType: "training" }, traced);
  await expect.poll(() => seen.length, { timeout: deadlineMs }).toBe(3);
  expect(seen).toEqual(seen.map(() => traced.headers.traceparent));
});

test("what nobody has configured is not loaded", async () => {
  const load = async (...config: string[]) => {
    const script = fileURLToPath(new URL("../support/list-loaded-packages.ts", import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [
      "--conditions=source",
      script,
      await temporaryDirectory(),
      ...config,
    ]);
    return JSON.parse(stdout) as string[];
  };
  const isTelemetry = (name: string) => name.startsWith("@opentelemetry/") || name === "prom-client";
  const plain = await load();
  expect(plain.filter(isTelemetry)).toEqual(["@opentelemetry/api", "@opentelemetry/context-async-hooks"]);
  // What calls hosts, PostgreSQL, and what reads policies and tokens.
  const others = new Set(["@grpc/grpc-js", "cockatiel", "pg", "zod", "jose"]);
  expect(plain.filter((name) => others.has(name))).toEqual([]);
  const all = await load("http://127.0.0.1:9");
  expect(all).toEqual(expect.arrayContaining(["@opentelemetry/sdk-trace", "prom-client"]));
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
