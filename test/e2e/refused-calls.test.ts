import { once } from "node:events";
import * as http2 from "node:http2";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { Client, credentials, status } from "@grpc/grpc-js";
import { describe, expect, onTestFinished, test } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { CreateOperationRequestSchema, OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";

import { rawConnection } from "../support/raw-connection.ts";
import { frame, type RawCall, rawConnectCall, rawGrpcCall, rawGrpcWebCall } from "../support/raw-rpc.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";

const server = () => startTestServer({ orchestrators: [new TestServices()], settings: { maxMessageBytes: 64 * 1024 } });
const get = "/longhaul.v1.OperationsService/GetOperation";
const large = toBinary(
  CreateOperationRequestSchema,
  create(CreateOperationRequestSchema, { operationName: "x".repeat(100_000) }),
);

interface Refusal {
  /** What is wrong, by gRPC and gRPC-Web, and by Connect. */
  readonly grpc: RawCall;
  readonly connect: RawCall;
  readonly code: Code;
  readonly reason: string;
  readonly message: RegExp;
  readonly pushback?: string;
}

const refusals: [string, Refusal][] = [
  [
    "a malformed message",
    {
      grpc: { path: get, body: frame(new Uint8Array([0x0a, 0xff])) },
      connect: { path: get, body: "{operationId" },
      code: Code.InvalidArgument,
      reason: "INVALID_MESSAGE",
      message: /./,
    },
  ],
  [
    "a message that is too large",
    {
      grpc: { path: get, body: frame(large) },
      connect: { path: get, body: JSON.stringify({ operationId: "x".repeat(100_000) }) },
      code: Code.ResourceExhausted,
      reason: "MESSAGE_TOO_LARGE",
      message: /65536/,
      pushback: "-1",
    },
  ],
  [
    "a message that is too large once it is unpacked",
    {
      grpc: {
        path: get,
        headers: { "grpc-encoding": "gzip" },
        body: frame(gzipSync(large), 1),
      },
      connect: {
        path: get,
        headers: { "content-encoding": "gzip" },
        body: gzipSync(JSON.stringify({ operationId: "x".repeat(100_000) })),
      },
      code: Code.ResourceExhausted,
      reason: "MESSAGE_TOO_LARGE",
      message: /65536/,
      pushback: "-1",
    },
  ],
  [
    "an unknown compression",
    {
      grpc: { path: get, headers: { "grpc-encoding": "zstd" } },
      connect: { path: get, headers: { "content-encoding": "zstd" } },
      code: Code.Unimplemented,
      reason: "UNSUPPORTED_COMPRESSION",
      message: /"zstd": supported encodings are gzip/,
    },
  ],
  [
    "a malformed deadline",
    {
      grpc: { path: get, headers: { "grpc-timeout": "soon" } },
      connect: { path: get, headers: { "connect-timeout-ms": "soon" } },
      code: Code.InvalidArgument,
      reason: "INVALID_MESSAGE",
      message: /timeout value: soon/,
    },
  ],
  [
    "an unknown method",
    {
      grpc: { path: "/longhaul.v1.OperationsService/GetOperatoin" },
      connect: { path: "/longhaul.v1.OperationsService/GetOperatoin" },
      code: Code.Unimplemented,
      reason: "UNKNOWN_METHOD",
      message: /^there is no method \/longhaul\.v1\.OperationsService\/GetOperatoin$/,
    },
  ],
  [
    "an unknown service",
    {
      grpc: { path: "/longhaul.v2.OperationsService/GetOperation" },
      connect: { path: "/longhaul.v2.OperationsService/GetOperation" },
      code: Code.Unimplemented,
      reason: "UNKNOWN_METHOD",
      message: /longhaul\.v2/,
    },
  ],
];

describe.each(refusals)("%s", (_, { grpc, connect, code, reason, message, pushback }) => {
  const refused = { message: expect.stringMatching(message), reason, hasRetryInfo: false, pushback };

  test("is refused with a reason over gRPC", async () => {
    const { url } = await server();
    expect(await rawGrpcCall(url, grpc)).toEqual({ ...refused, httpStatus: 200, code });
  });

  test("is refused with a reason over gRPC-Web", async () => {
    const { url } = await server();
    expect(await rawGrpcWebCall(url, grpc)).toEqual({ ...refused, httpStatus: 200, code });
  });

  test("is refused with a reason over Connect", async () => {
    const { url } = await server();
    const answer = await rawConnectCall(url, connect);
    expect(answer).toEqual({ ...refused, httpStatus: expect.any(Number), code: codeToString(code) });
    expect(answer.httpStatus).toBeGreaterThanOrEqual(400);
  });
});

test("an answer that is packed by the client's wish is refused with a reason all the same", async () => {
  const { url } = await server();
  const longName = `"${"x".repeat(2_000)}"`;
  const answer = await fetch(`${url}${get}`, {
    method: "POST",
    headers: { "content-type": "application/json", "accept-encoding": "gzip" },
    body: `{${longName}: 1}`,
  });
  expect(answer.status).toBe(400);
  const { message, details } = (await answer.json()) as { message: string; details: { debug: object }[] };
  expect(message).toHaveLength(1_000);
  expect(details).toMatchObject([{ debug: { reason: "INVALID_MESSAGE" } }]);
  const web = await rawGrpcWebCall(url, {
    path: get,
    headers: { "content-type": "application/grpc-web+json", "grpc-accept-encoding": "gzip" },
    body: frame(Buffer.from(`{${longName}: 1}`)),
  });
  expect(web).toMatchObject({ code: Code.InvalidArgument, reason: "INVALID_MESSAGE" });
});

test("a call without a message, and one with two, is refused", async () => {
  const { url } = await server();
  const refused = { code: Code.Unimplemented, reason: "WRONG_MESSAGE_COUNT" };
  expect(await rawGrpcCall(url, { path: get, body: new Uint8Array() })).toMatchObject(refused);
  const two = Buffer.concat([frame(new Uint8Array()), frame(new Uint8Array())]);
  expect(await rawGrpcCall(url, { path: get, body: two })).toMatchObject(refused);
});

test("a compressed message that was not announced breaks the protocol", async () => {
  const { url } = await server();
  const answer = await rawGrpcCall(url, { path: get, body: frame(gzipSync(new Uint8Array()), 1) });
  expect(answer).toMatchObject({ code: Code.Internal, reason: "PROTOCOL_ERROR", message: /do not know how/ });
});

test("grpc-js sees UNIMPLEMENTED for a method that is not there", async () => {
  const { url } = await server();
  const client = new Client(new URL(url).host, credentials.createInsecure());
  onTestFinished(() => client.close());
  const same = (bytes: Buffer) => bytes;
  const failure = await new Promise((resolve) =>
    client.makeUnaryRequest("/nobody.v1.Nothing/Do", same, same, Buffer.alloc(0), resolve),
  );
  expect(failure).toMatchObject({ code: status.UNIMPLEMENTED, details: "there is no method /nobody.v1.Nothing/Do" });
});

test("connect-node sees the reason of a method that is not there", async () => {
  const { url } = await server();
  const unknown = { ...OperationsService, typeName: "longhaul.v9.OperationsService" };
  const renamed = { ...OperationsService.method.getOperation, parent: unknown };
  for (const transport of [
    createGrpcTransport({ baseUrl: url }),
    createConnectTransport({ baseUrl: url, httpVersion: "1.1" }),
  ]) {
    const failure = await transport
      .unary(renamed as never, undefined, undefined, undefined, {}, undefined)
      .catch((error: unknown) => ConnectError.from(error));
    expect(failure).toMatchObject({ code: Code.Unimplemented });
    expect((failure as ConnectError).findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "UNKNOWN_METHOD" }]);
  }
});

test("who is no RPC client gets what HTTP has for it", async () => {
  const { url, client } = await server();
  const statusOf = async (path: string, init?: RequestInit) => (await fetch(`${url}${path}`, init)).status;
  expect(await statusOf("/favicon.ico")).toBe(404);
  expect(await statusOf("/", { method: "POST", headers: { "content-type": "application/json" }, body: "{}" })).toBe(
    404,
  );
  expect(await statusOf(get, { method: "PUT", body: "x" })).toBe(405);
  expect(await statusOf(get, { method: "POST", headers: { "content-type": "text/html" }, body: "x" })).toBe(415);
  expect((await client.countOperations({})).total).toBe(0n);
});

test("a request that names no authority is refused, and the server lives on", async () => {
  const { url, port, client } = await server();
  const socket = await rawConnection(port);
  socket.write(`POST ${get} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`);
  const [bytes] = (await once(socket, "data")) as [Buffer];
  expect(bytes.toString()).toMatch(/^HTTP\/1\.1 400 /);
  expect((await client.countOperations({})).total).toBe(0n);
  expect(await rawConnectCall(url, { path: get })).toMatchObject({ reason: "INVALID_FIELD" });
});

test("an authority that is a list of addresses, as gRPC clients of several servers write it, is none of our business", async () => {
  const { url } = await server();
  const headers = { ":authority": "127.0.0.1:50051,127.0.0.1:50052" };
  expect(await rawGrpcCall(url, { path: get, headers })).toMatchObject({ reason: "INVALID_FIELD" });
});

test.each(["//", "*", "/a b", "/%zz", "?", "http://[", `/${"x".repeat(10_000)}`])(
  "the path %j is refused, and the server lives on",
  async (path) => {
    const { url, port, client } = await server();
    const socket = await rawConnection(port);
    const type = "content-type: application/grpc-web";
    socket.write(`POST ${path} HTTP/1.1\r\nhost: [\r\n${type}\r\ncontent-length: 0\r\n\r\n`);
    const [bytes] = (await once(socket, "data")) as [Buffer];
    expect(bytes.toString()).toMatch(/^HTTP\/1\.1 (200|400) /);
    const session = http2.connect(url);
    session.on("error", () => {});
    onTestFinished(() => session.destroy());
    const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc" });
    stream.on("error", () => {});
    // Answered, or reset where HTTP/2 itself does not allow the path.
    stream.resume();
    stream.end();
    await new Promise((resolve) => stream.once("close", resolve));
    expect((await client.countOperations({})).total).toBe(0n);
  },
);

test("an error that cannot be put into words ends the call all the same", async () => {
  const { url } = await server();
  const answer = await rawGrpcCall(url, {
    path: get,
    headers: { "content-type": "application/grpc+json" },
    body: frame(Buffer.from('{"\\ud800": 1}')),
  });
  expect(answer.reason).toMatch(/^(INTERNAL|INVALID_MESSAGE)$/);
});

test("a retry is asked for in the trailers, with its delay", async () => {
  const { url, operations } = await server();
  await operations.close();
  const client = createClient(OperationsService, createGrpcTransport({ baseUrl: url }));
  const failure = await client.createOperation({ operationType: "training" }).catch(ConnectError.from);
  expect(failure).toMatchObject({ code: Code.Unavailable });
  expect((failure as ConnectError).metadata.get("grpc-retry-pushback-ms")).toBe("1000");
});
