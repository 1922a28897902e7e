import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { Code, ConnectError, createClient, encodeBinaryHeader, type Interceptor } from "@connectrpc/connect";
import { afterEach, describe, expect, test } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import {
  createGrpcJsTransport,
  type GrpcTransport,
  type GrpcTransportOptions,
} from "../../src/client/grpc-transport.ts";
import { startScriptedServer } from "./scripted-server.ts";

const open: GrpcTransport[] = [];

afterEach(() => {
  for (const transport of open.splice(0)) transport.close();
});

function connect(options: GrpcTransportOptions) {
  const transport = createGrpcJsTransport(options);
  open.push(transport);
  return { transport, client: createClient(OperationsService, transport) };
}

async function failure(promise: Promise<unknown>): Promise<ConnectError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ConnectError);
  return error as ConnectError;
}

const never = () => new Promise<never>(() => undefined);

describe("a unary call", () => {
  test("brings the typed answer", async () => {
    await using server = await startScriptedServer({
      getOperation: ({ operationId }) => ({ operation: { operationId, revision: 2n ** 63n } }),
    });
    const { client } = connect({ baseUrl: server.url });
    const { operation } = await client.getOperation({ operationId: "op_1" });
    expect(operation).toMatchObject({ operationId: "op_1", revision: 2n ** 63n });
  });

  test("carries text and binary headers both ways, and trailers back", async () => {
    const bytes = new Uint8Array([0, 1, 254, 255]);
    await using server = await startScriptedServer({
      getOperation: (_request, context) => {
        context.responseHeader.set("x-seen", context.requestHeader.get("x-text") ?? "");
        context.responseHeader.set("x-seen-bin", context.requestHeader.get("x-bytes-bin") ?? "");
        context.responseTrailer.set("x-trailer", "at the end");
        return {};
      },
    });
    const { client } = connect({ baseUrl: server.url });
    const received: { header?: Headers; trailer?: Headers } = {};
    await client.getOperation(
      { operationId: "op_1" },
      {
        headers: { "x-text": "hello", "x-bytes-bin": encodeBinaryHeader(bytes) },
        onHeader: (header) => {
          received.header = header;
        },
        onTrailer: (trailer) => {
          received.trailer = trailer;
        },
      },
    );
    expect(received.header?.get("x-seen")).toBe("hello");
    expect(received.header?.get("x-seen-bin")).toBe(encodeBinaryHeader(bytes));
    expect(received.trailer?.get("x-trailer")).toBe("at the end");
  });

  test("runs interceptors around itself, the first one outermost", async () => {
    await using server = await startScriptedServer({
      getOperation: (_request, { requestHeader }) => ({
        operation: { operationName: requestHeader.get("x-path") ?? "" },
      }),
    });
    const mark =
      (name: string): Interceptor =>
      (next) =>
      (request) => {
        request.header.set("x-path", `${request.header.get("x-path") ?? ""}${name}`);
        return next(request);
      };
    const { client } = connect({ baseUrl: server.url, interceptors: [mark("a"), mark("b")] });
    expect((await client.getOperation({ operationId: "op_1" })).operation?.operationName).toBe("ab");
  });

  test("tells the server the caller's deadline", async () => {
    await using server = await startScriptedServer({
      getOperation: (_request, { timeoutMs }) => {
        const left = timeoutMs() ?? 0;
        return { notModified: left > 20_000 && left <= 30_000 };
      },
    });
    const { client } = connect({ baseUrl: server.url });
    expect((await client.getOperation({ operationId: "op_1" }, { timeoutMs: 30_000 })).notModified).toBe(true);
  });
});

describe("a failed call", () => {
  test("has the server's code, message and details", async () => {
    await using server = await startScriptedServer({
      getOperation: () => {
        throw new ConnectError("operation_id: 100 % wrong, ü", Code.InvalidArgument, undefined, [
          { desc: ErrorInfoSchema, value: { reason: "INVALID_FIELD", domain: "longhaul" } },
          { desc: BadRequestSchema, value: { fieldViolations: [{ field: "operation_id", description: "wrong" }] } },
        ]);
      },
    });
    const error = await failure(connect({ baseUrl: server.url }).client.getOperation({}));
    expect(error.code).toBe(Code.InvalidArgument);
    expect(error.rawMessage).toBe("operation_id: 100 % wrong, ü");
    expect(error.findDetails(ErrorInfoSchema)[0]?.reason).toBe("INVALID_FIELD");
    expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field).toBe("operation_id");
  });

  test("is UNAVAILABLE when nobody listens", async () => {
    const server = await startScriptedServer({});
    await server.kill();
    const error = await failure(connect({ baseUrl: server.url }).client.getOperation({}));
    expect(error.code).toBe(Code.Unavailable);
  });

  test("is UNAVAILABLE when the server dies in the middle of it", async () => {
    const reached = Promise.withResolvers<void>();
    await using server = await startScriptedServer({
      getOperation: () => {
        reached.resolve();
        return never();
      },
    });
    const call = failure(connect({ baseUrl: server.url }).client.getOperation({}));
    await reached.promise;
    await server.kill();
    expect((await call).code).toBe(Code.Unavailable);
  });

  test("is UNAVAILABLE when pings are not answered", async () => {
    // Accepts connections and never says a word, like a stopped process.
    const sockets = new Set<Socket>();
    const mute = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined);
      // The settings frame that makes the connection count as made.
      socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    }).listen(0, "127.0.0.1");
    await once(mute, "listening");
    const { port } = mute.address() as { port: number };
    const { client } = connect({
      baseUrl: `http://127.0.0.1:${port}`,
      keepAliveTimeMs: 50,
      keepAliveTimeoutMs: 50,
      defaultTimeoutMs: 0,
    });
    expect((await failure(client.getOperation({}))).code).toBe(Code.Unavailable);
    for (const socket of sockets) socket.destroy();
    mute.close();
    await once(mute, "close");
  });

  test("is DEADLINE_EXCEEDED after the default deadline when the caller has none", async () => {
    await using server = await startScriptedServer({ getOperation: never });
    const { client } = connect({ baseUrl: server.url, defaultTimeoutMs: 100 });
    expect((await failure(client.getOperation({}))).code).toBe(Code.DeadlineExceeded);
  });

  test("is CANCELED when the caller's signal aborts, and the server learns of it", async () => {
    const reached = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<void>();
    await using server = await startScriptedServer({
      getOperation: (_request, { signal }) => {
        signal.addEventListener("abort", () => aborted.resolve());
        reached.resolve();
        return never();
      },
    });
    const controller = new AbortController();
    const call = failure(connect({ baseUrl: server.url }).client.getOperation({}, { signal: controller.signal }));
    await reached.promise;
    controller.abort();
    expect((await call).code).toBe(Code.Canceled);
    await aborted.promise;
  });

  test("is RESOURCE_EXHAUSTED for a message over the limit, in either direction", async () => {
    await using server = await startScriptedServer({
      getOperation: () => ({ operation: { operationName: "x".repeat(5000) } }),
    });
    const small = connect({ baseUrl: server.url, maxReceiveBytes: 1000 }).client;
    expect((await failure(small.getOperation({}))).code).toBe(Code.ResourceExhausted);
    const terse = connect({ baseUrl: server.url, maxSendBytes: 1000 }).client;
    expect((await failure(terse.getOperation({ operationId: "x".repeat(5000) }))).code).toBe(Code.ResourceExhausted);
  });

  test("names the header that cannot be sent", async () => {
    await using server = await startScriptedServer({ getOperation: () => ({}) });
    const { client } = connect({ baseUrl: server.url });
    const error = await failure(client.getOperation({}, { headers: { "x-name": "Zoë" } }));
    expect(error.code).toBe(Code.InvalidArgument);
    expect(error.rawMessage).toContain('"x-name"');
  });

  test("does not keep the next ones from a server that has come back", async () => {
    const first = await startScriptedServer({ getOperation: () => ({ notModified: true }) });
    const { client, transport } = connect({ baseUrl: first.url });
    await client.getOperation({});
    await first.kill();
    expect((await failure(client.getOperation({}))).code).toBe(Code.Unavailable);
    await using second = await startScriptedServer({ getOperation: () => ({ notModified: true }) }, first.port);
    expect(second.port).toBe(first.port);
    expect(await transport.waitForReady(10_000)).toBe(true);
    expect((await client.getOperation({})).notModified).toBe(true);
  });
});

describe("the transport", () => {
  test("ends open and later calls with UNAVAILABLE when it is closed", async () => {
    const reached = Promise.withResolvers<void>();
    await using server = await startScriptedServer({
      getOperation: () => {
        reached.resolve();
        return never();
      },
    });
    const { client, transport } = connect({ baseUrl: server.url });
    const call = failure(client.getOperation({}));
    await reached.promise;
    transport.close();
    transport.close();
    expect((await call).code).toBe(Code.Unavailable);
    expect((await failure(client.getOperation({}))).code).toBe(Code.Unavailable);
    expect(await transport.waitForReady(1000)).toBe(false);
  });

  test("is not ready where nobody listens, nor after an abort", async () => {
    const server = await startScriptedServer({});
    await server.kill();
    const { transport } = connect({ baseUrl: server.url });
    expect(await transport.waitForReady(50)).toBe(false);
    const controller = new AbortController();
    const waiting = transport.waitForReady(60_000, controller.signal);
    controller.abort();
    expect(await waiting).toBe(false);
  });

  test("says UNAVAILABLE when TLS meets a server without it", async () => {
    await using server = await startScriptedServer({ getOperation: () => ({}) });
    const { client } = connect({ baseUrl: server.url.replace("http://127.0.0.1", "https://localhost") });
    expect((await failure(client.getOperation({}))).code).toBe(Code.Unavailable);
  });

  test("refuses what is no server URL, naming it", () => {
    for (const baseUrl of ["", "localhost:50051", "ftp://host", "/path"]) {
      expect(() => createGrpcJsTransport({ baseUrl })).toThrow(`"${baseUrl}" is no server URL`);
    }
  });
});
