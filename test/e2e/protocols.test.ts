import { once } from "node:events";
import * as http from "node:http";
import * as http2 from "node:http2";
import { gzipSync } from "node:zlib";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { describe, expect, onTestFinished, test } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  CreateOperationRequestSchema,
  CreateOperationResponseSchema,
  OperationsService,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import { createGrpcJsTransport } from "../../src/client/grpc-transport.ts";
import { operationIn } from "../support/operation-when.ts";
import { startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";

const { CANCELLED, COMPLETED, RUNNING } = OperationStatus;

import { rawConnection } from "../support/raw-connection.ts";

const path = "/longhaul.v1.OperationsService";
const hold = { operationType: "training", metadata: { parameters: { hold: true } } };
const mebibyte = 2 ** 20;

const server = (settings = {}) => startTestServer({ orchestrators: [new TestServices()], settings });

/** An HTTP/2 session of the test, with the transports of connect-node ended as well. */
function h2c(url: string): http2.ClientHttp2Session {
  const session = http2.connect(url);
  session.on("error", () => {});
  onTestFinished(() => session.destroy());
  return session;
}

describe("one port answers", () => {
  const transports: [string, (baseUrl: string) => Transport & { close?(): void }][] = [
    ["gRPC with grpc-js", (baseUrl) => createGrpcJsTransport({ baseUrl })],
    ["gRPC with connect-node", (baseUrl) => createGrpcTransport({ baseUrl })],
    ["gRPC-Web over HTTP/1.1", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
    ["gRPC-Web over h2c", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "2" })],
    [
      "Connect JSON over HTTP/1.1",
      (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false }),
    ],
    [
      "Connect binary over HTTP/1.1",
      (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: true }),
    ],
    [
      "Connect binary over h2c",
      (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: true }),
    ],
    ["Connect with GET", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1", useHttpGet: true })],
  ];

  test.each(transports)("%s", async (_, createTransport) => {
    const { url } = await server();
    const transport = createTransport(url);
    onTestFinished(() => transport.close?.());
    const client = createClient(OperationsService, transport);
    const { operation } = await client.createOperation({ operationType: "backtesting", operationName: "日本 ✓" });
    const operationId = operation?.operationId ?? "";
    const ended = await operationIn(client, operationId, COMPLETED);
    expect(ended).toMatchObject({ operationName: "日本 ✓", resultSummary: { records: 3 }, metricsCursor: 4n });
    expect((await client.getMetrics({ operationId })).newCursor).toBe(4n);
    const failure = await client.getOperation({ operationId: "op_nobody" }).catch(ConnectError.from);
    expect(failure).toMatchObject({ code: Code.NotFound, rawMessage: "operation op_nobody does not exist" });
    expect((failure as ConnectError).findDetails(ErrorInfoSchema)).toMatchObject([
      { reason: "OPERATION_NOT_FOUND", domain: "longhaul" },
    ]);
  });

  test("curl: JSON with POST, and GET for what has no side effects only", async () => {
    const { url } = await server();
    const created = await fetch(`${url}${path}/CreateOperation`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"operationType": "training"}',
    });
    const { operation } = (await created.json()) as { operation: { operationId: string; status: string } };
    expect(operation.status).toMatch(/^OPERATION_STATUS_(PENDING|RUNNING)$/);
    const get = (method: string, message: unknown) =>
      fetch(`${url}${path}/${method}?encoding=json&message=${encodeURIComponent(JSON.stringify(message))}`);
    const read = await get("GetOperation", { operationId: operation.operationId });
    expect(await read.json()).toMatchObject({ operation: { operationId: operation.operationId } });
    expect((await get("CountOperations", {})).status).toBe(200);
    expect((await get("CreateOperation", { operationType: "training" })).status).toBe(405);
    expect((await get("CancelOperation", { operationId: operation.operationId, reason: "no" })).status).toBe(405);
    expect((await fetch(`${url}/nothing`)).status).toBe(404);
  });
});

test("a large HTTP/1.1 body arrives in small pieces", async () => {
  const { port } = await server();
  const request = create(CreateOperationRequestSchema, {
    operationType: "training",
    metadata: { parameters: { text: "x".repeat(mebibyte / 2) } },
  });
  const body = Buffer.from(toBinary(CreateOperationRequestSchema, request));
  const call = http.request({
    port,
    host: "127.0.0.1",
    method: "POST",
    path: `${path}/CreateOperation`,
    headers: { "content-type": "application/proto", "content-length": body.length },
    agent: false,
  });
  const answered = once(call, "response") as Promise<[http.IncomingMessage]>;
  for (let from = 0; from < body.length; from += 7_000) {
    call.write(body.subarray(from, from + 7_000));
    await new Promise((resolve) => setImmediate(resolve));
  }
  call.end();
  const [response] = await answered;
  const answer = Buffer.concat(await response.toArray());
  const { operation } = fromBinary(CreateOperationResponseSchema, new Uint8Array(answer));
  expect(operation?.metadata?.parameters).toEqual({ text: "x".repeat(mebibyte / 2) });
});

describe("a message over the limit", () => {
  const tooLarge = {
    operationType: "training",
    metadata: { parameters: { text: "x".repeat(2 * mebibyte) } },
  };
  const settings = { maxMessageBytes: mebibyte };

  test.each<[string, (baseUrl: string) => Transport & { close?(): void }]>([
    ["gRPC", (baseUrl) => createGrpcJsTransport({ baseUrl })],
    ["gRPC-Web", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
    ["Connect", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
  ])("is refused over %s, and the server lives on", async (_, createTransport) => {
    const { url, client } = await server(settings);
    const transport = createTransport(url);
    onTestFinished(() => transport.close?.());
    const call = createClient(OperationsService, transport).createOperation(tooLarge);
    await expect(call).rejects.toMatchObject({ code: Code.ResourceExhausted });
    expect((await client.countOperations({})).total).toBe(0n);
  });

  test("is refused when only unpacking makes it large", async () => {
    const { url, client } = await server(settings);
    const bomb = gzipSync(Buffer.alloc(100 * mebibyte, " "));
    expect(bomb.length).toBeLessThan(mebibyte / 2);
    const before = process.memoryUsage().rss;
    const connectAnswer = await fetch(`${url}${path}/CreateOperation`, {
      method: "POST",
      headers: { "content-type": "application/json", "content-encoding": "gzip" },
      body: bomb,
    });
    expect(await connectAnswer.json()).toMatchObject({ code: "resource_exhausted" });
    const session = h2c(url);
    const stream = session.request({
      ":method": "POST",
      ":path": `${path}/CreateOperation`,
      "content-type": "application/grpc",
      "grpc-encoding": "gzip",
      te: "trailers",
    });
    const prefix = Buffer.alloc(5);
    prefix.writeUInt8(1, 0);
    prefix.writeUInt32BE(bomb.length, 1);
    stream.end(Buffer.concat([prefix, bomb]));
    const [headers] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
    const trailers = new Promise<http2.IncomingHttpHeaders>((resolve) => stream.once("trailers", resolve));
    stream.resume();
    const status = headers["grpc-status"] ?? (await trailers)["grpc-status"];
    expect(Number(status)).toBe(Code.ResourceExhausted);
    expect(process.memoryUsage().rss - before).toBeLessThan(90 * mebibyte);
    expect((await client.countOperations({})).total).toBe(0n);
  });
});

describe("more calls on one connection than it may have open", () => {
  test("are answered one after the other by a client that keeps the limit", async () => {
    const { client } = await server({ maxConcurrentStreams: 16 });
    const { operation } = await client.createOperation(hold);
    const operationId = operation?.operationId ?? "";
    const gets = Array.from({ length: 200 }, () => client.getOperation({ operationId }));
    expect(await Promise.all(gets)).toHaveLength(200);
  });

  test("are answered all the same when 200 wait at once: the port tells its limit of 128", async () => {
    const { client, url } = await server();
    const { operation } = await client.createOperation(hold);
    const session = h2c(url);
    await once(session, "remoteSettings");
    expect(session.remoteSettings?.maxConcurrentStreams).toBe(128);
    const body = JSON.stringify({ operationId: operation?.operationId, untilDone: true, timeout: "30s" });
    const streams = Array.from({ length: 200 }, () => {
      const stream = session.request({
        ":method": "POST",
        ":path": `${path}/WaitOperation`,
        "content-type": "application/json",
      });
      stream.on("error", () => {});
      stream.end(body);
      return stream;
    });
    await client.cancelOperation({ operationId: operation?.operationId ?? "", reason: "the test goes on" });
    const statuses = await Promise.all(
      streams.map(async (stream) => ((await once(stream, "response")) as [http2.IncomingHttpHeaders])[0][":status"]),
    );
    expect(statuses).toEqual(streams.map(() => 200));
  });
});

describe("a stop by SIGTERM", () => {
  test("takes less than 5 s with open connections, running operations and waiters, and loses nothing", async () => {
    const dataDir = await temporaryDirectory();
    const first = await startServerProcess(dataDir, { shutdownGraceMs: 4_000 });
    const ids: string[] = [];
    for (let index = 0; index < 10; index++) {
      const { operation } = await first.client.createOperation(index % 2 === 0 ? hold : { operationType: "data_load" });
      ids.push(operation?.operationId ?? "");
    }
    await operationIn(first.client, ids[0] ?? "", RUNNING);
    const silent = await rawConnection(first.port);
    const half = await rawConnection(first.port);
    half.write("PRI * HTTP/2");
    const idle = h2c(first.url);
    await once(idle, "connect");
    const waiting = ids.map((operationId) =>
      first.client
        .waitOperation({ operationId, untilDone: true, timeout: { seconds: 50n } }, { timeoutMs: 60_000 })
        .then(({ operation }) => operation?.status)
        .catch((error: unknown) => ConnectError.from(error).code),
    );
    // Acknowledged, so that the waiters are there before the end.
    await first.client.countOperations({});
    const beganMs = performance.now();
    first.kill("SIGTERM");
    expect(await first.exited).toEqual([0, null]);
    expect(performance.now() - beganMs).toBeLessThan(5_000);
    const answers = await Promise.all(waiting);
    expect(answers.every((answer) => [COMPLETED, CANCELLED].includes(answer as never))).toBe(true);
    expect([silent.destroyed || silent.readableEnded, idle.closed || idle.destroyed]).toEqual([true, true]);
    const second = await startServerProcess(dataDir);
    const statuses = await Promise.all(
      ids.map(async (operationId) => (await second.client.getOperation({ operationId })).operation?.status),
    );
    expect(statuses).toEqual(ids.map((_, index) => (index % 2 === 0 ? CANCELLED : COMPLETED)));
  }, 30_000);

  test("comes to its end although an operation does not stop", async () => {
    const dataDir = await temporaryDirectory();
    const directory = await temporaryDirectory();
    const first = await startServerProcess(dataDir, { shutdownGraceMs: 1_000 });
    const { operation } = await first.client.createOperation({
      operationType: "threaded",
      metadata: { parameters: { directory, ignoresToken: true } },
    });
    const operationId = operation?.operationId ?? "";
    await operationIn(first.client, operationId, RUNNING);
    first.kill("SIGTERM");
    await first.exited;
    const second = await startServerProcess(dataDir);
    expect(await operationIn(second.client, operationId, CANCELLED)).toMatchObject({
      cancellation: { reason: "the server is stopping", forced: true },
    });
  }, 30_000);
});
