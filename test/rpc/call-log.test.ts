import { Writable } from "node:stream";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { describe, expect, onTestFinished, test } from "vitest";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { createCallRecorder, noCallMeter } from "../../src/rpc/call-recorder.ts";
import { startServer } from "../../src/server.ts";
import { createServerLog } from "../../src/telemetry/server-log.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { connectTestClient } from "../support/test-client.ts";
import { testConfig } from "../support/test-config.ts";
import { TestServices } from "../support/test-services.ts";

type LogLine = Record<string, unknown>;

const service = "longhaul.v1.OperationsService";
const secret = "Bearer abc.def.ghi";
const levels: Readonly<Record<string, number>> = { debug: 20, info: 30, warn: 40, error: 50 };

/** A log whose lines a test reads. */
function readableLog(level: string) {
  const lines: LogLine[] = [];
  const destination = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)));
      done();
    },
  });
  return { lines, log: createServerLog(level, destination) };
}

async function startLoggedServer(level: string) {
  const { lines, log } = readableLog(level);
  const server = await startServer(testConfig(await temporaryDirectory()), {
    orchestrators: [new TestServices()],
    log,
  });
  onTestFinished(() => server.stop());
  const calls = () => lines.filter(({ msg }) => msg === "call");
  return { server, lines, calls, client: connectTestClient(server.url) };
}

describe("the log of calls", () => {
  test("has one line for a call that changes something, with what it was about", async () => {
    const { client, calls } = await startLoggedServer("info");
    const { operation } = await client.createOperation({ operationType: "training" });
    expect(calls()).toEqual([
      {
        level: levels["info"],
        time: expect.any(Number),
        pid: process.pid,
        hostname: expect.any(String),
        msg: "call",
        method: `${service}/CreateOperation`,
        protocol: "grpc",
        code: "OK",
        durationMs: expect.any(Number),
        caller: "anonymous",
        operationId: operation?.operationId,
        trace_id: expect.stringMatching(/^[0-9a-f]{32}$/),
        span_id: expect.stringMatching(/^[0-9a-f]{16}$/),
      },
    ]);
  });

  test("shows reads that are answered only at debug, for pollers are many", async () => {
    const { client, calls } = await startLoggedServer("info");
    await client.listOperations({});
    expect(calls()).toEqual([]);

    const talkative = await startLoggedServer("debug");
    await talkative.client.listOperations({});
    expect(talkative.calls()).toMatchObject([
      { level: levels["debug"], method: `${service}/ListOperations`, count: 0 },
    ]);
  });

  test("says why a call was refused, over every protocol", async () => {
    const { server, client, calls } = await startLoggedServer("info");
    const operationId = "op_training_20250120_093000_none";
    const overConnect = createClient(
      OperationsService,
      createConnectTransport({ httpVersion: "1.1", baseUrl: server.url }),
    );
    await expect(client.getOperation({ operationId })).rejects.toThrow("does not exist");
    await expect(overConnect.cancelOperation({ operationId, reason: "a test" })).rejects.toThrow("does not exist");
    const refused = { level: levels["info"], code: "NOT_FOUND", reason: "OPERATION_NOT_FOUND", operationId };
    expect(calls()).toMatchObject([
      { ...refused, method: `${service}/GetOperation`, protocol: "grpc" },
      { ...refused, method: `${service}/CancelOperation`, protocol: "connect" },
    ]);
  });

  test("counts what a batch asks for and names both operations of a retry", async () => {
    const { client, calls } = await startLoggedServer("debug");
    const parameters = { error: "on purpose" };
    const { operation } = await client.createOperation({ operationType: "training", metadata: { parameters } });
    const operationId = operation?.operationId ?? "";
    await client.waitOperation({ operationId, untilDone: true });
    await client.batchGetOperations({
      operations: [{ operationId }, { operationId: "op_training_20250120_093000_x" }],
    });
    const { operation: retried } = await client.retryOperation({ operationId });
    const of = (method: string) => calls().find((line) => line["method"] === `${service}/${method}`);
    expect(of("BatchGetOperations")).toMatchObject({ count: 2 });
    expect(of("RetryOperation")).toMatchObject({ operationId, newOperationId: retried?.operationId });
  });

  test("shows a fault of the server's as an error, with its cause in a line of the same trace", async () => {
    const { server, client, lines, calls } = await startLoggedServer("info");
    server.operations.countOperations = () => Promise.reject(new Error("a bug"));
    await expect(client.countOperations({})).rejects.toMatchObject({ code: Code.Internal });
    const [call] = calls();
    expect(call).toMatchObject({ level: levels["error"], code: "INTERNAL", reason: "INTERNAL" });
    const cause = lines.find(({ msg }) => msg === "a call failed");
    expect(cause).toMatchObject({ trace_id: call?.["trace_id"], err: { message: "a bug" } });
  });

  test("never has credentials in it", async () => {
    const { server, lines } = await startLoggedServer("trace");
    const transport = createConnectTransport({ httpVersion: "1.1", baseUrl: server.url });
    const client = createClient(OperationsService, transport);
    server.operations.countOperations = () => Promise.reject(new ConnectError("no", Code.Internal, { cookie: secret }));
    const headers = { authorization: secret, cookie: secret };
    await client.listOperations({}, { headers });
    await expect(client.countOperations({}, { headers })).rejects.toThrow();
    expect(lines.length).toBeGreaterThan(2);
    expect(JSON.stringify(lines)).not.toContain(secret);
  });

  test("has a line for calls that are refused before anybody sees them", () => {
    const { lines, log } = readableLog("info");
    const recorder = createCallRecorder(log, noCallMeter);
    recorder.refused({ path: `/${service}/Nothing`, error: new ConnectError("no such method", Code.Unimplemented) });
    expect(lines).toMatchObject([
      {
        msg: "call",
        level: levels["info"],
        method: `${service}/Nothing`,
        code: "UNIMPLEMENTED",
        message: "no such method",
      },
    ]);
  });
});

test("the log of a server hides fields that may hold a secret, at any depth where errors and requests have them", () => {
  const { lines, log } = readableLog("info");
  log.info({ authorization: secret, headers: { cookie: secret, "set-cookie": secret, host: "h" } });
  log.info({ request: { headers: { authorization: secret, Authorization: secret } }, password: secret, token: secret });
  log.error({ err: new ConnectError("no", Code.Internal, { authorization: secret }) });
  expect(lines).toHaveLength(3);
  expect(JSON.stringify(lines)).not.toContain(secret);
  expect(lines[0]).toMatchObject({ authorization: "[Redacted]", headers: { cookie: "[Redacted]", host: "h" } });
});
