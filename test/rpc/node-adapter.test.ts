import { once } from "node:events";
import * as http from "node:http";
import { text } from "node:stream/consumers";
import { Code, type ConnectError } from "@connectrpc/connect";
import { pino } from "pino";
import { expect, onTestFinished, test } from "vitest";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { listen } from "../../src/listener/listener.ts";
import { CallError } from "../../src/operations/errors.ts";
import { connectErrorFrom } from "../../src/rpc/call-errors.ts";
import type { RefusedCall } from "../../src/rpc/call-recorder.ts";
import { createNodeAdapter } from "../../src/rpc/node-adapter.ts";
import { listenerLimits } from "../support/listener-limits.ts";
import { frame, rawConnectCall, rawGrpcCall, rawGrpcWebCall } from "../support/raw-rpc.ts";

/** Largest message of the adapter. */
const readMaxBytes = 64 * 1024;
const path = "/longhaul.v1.OperationsService/GetOperation";

/** An adapter on a port, and what it tells of refused calls. */
async function adapter() {
  const told: RefusedCall[] = [];
  const handler = createNodeAdapter({
    log: pino({ level: "silent" }),
    readMaxBytes,
    onRefused: (call) => told.push(call),
    interceptors: [
      (next) => (request) => next(request).catch((error: unknown) => Promise.reject(connectErrorFrom(error))),
    ],
    routes: (router) => {
      router.service(OperationsService, {
        getOperation: ({ operationId }) => {
          if (operationId === "") {
            throw new CallError("OPERATION_NOT_FOUND", "nobody: 1/2", { operationId });
          }
          return {};
        },
      });
    },
  });
  const listener = await listen(handler, { host: "127.0.0.1", port: 0, limits: listenerLimits() });
  onTestFinished(() => listener.close(0));
  const refused = () =>
    told.map(({ error, ...call }: { error: ConnectError } & RefusedCall) => ({ ...call, code: error.code }));
  return { url: `http://127.0.0.1:${listener.port}`, refused };
}

test("calls that no interceptor sees are told of, with the path, the method and the error", async () => {
  const { url, refused } = await adapter();
  await rawGrpcCall(url, { path, body: frame(new Uint8Array([0x0a, 0xff])) });
  await rawGrpcWebCall(url, { path, body: frame(new Uint8Array([0x0a, 0xff])) });
  await rawConnectCall(url, { path, body: "{" });
  await rawConnectCall(url, { path: "/no.Service/Method" });
  const malformed = { path, method: "GetOperation", code: Code.InvalidArgument };
  expect(refused()).toEqual([
    malformed,
    malformed,
    malformed,
    { path: "/no.Service/Method", code: Code.Unimplemented },
  ]);
});

test("calls that an interceptor has seen are passed on as they are, and not told of", async () => {
  const { url, refused } = await adapter();
  const notFound = { reason: "OPERATION_NOT_FOUND", message: "nobody: 1/2" };
  expect(await rawGrpcCall(url, { path })).toMatchObject({ ...notFound, code: Code.NotFound });
  expect(await rawGrpcWebCall(url, { path })).toMatchObject({ ...notFound, code: Code.NotFound });
  expect(await rawConnectCall(url, { path })).toMatchObject({ ...notFound, code: "not_found" });
  expect(await rawConnectCall(url, { path, body: '{"operationId":"op_a"}' })).toMatchObject({ httpStatus: 200 });
  expect(refused()).toEqual([]);
});

test("a connection outlives a request that was too large to be read to its end", async () => {
  const { url } = await adapter();
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  const post = async (body: Uint8Array) => {
    const headers = { "content-type": "application/grpc-web+proto" };
    const request = http.request(`${url}${path}`, { method: "POST", agent, headers });
    request.end(body);
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    return { reused: request.reusedSocket, text: await text(response) };
  };
  const tooLarge = await post(frame(new Uint8Array(readMaxBytes + 64 * 1024)));
  expect(tooLarge.text).toContain("grpc-status: 8");
  const next = await post(frame(new Uint8Array([0x0a, 1, 0x61])));
  expect(next.text).toContain("grpc-status: 0");
  expect(next.reused).toBe(true);
});
