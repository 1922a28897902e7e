import { setTimeout as pause } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { pino } from "pino";
import { expect, test } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { GetOperationResponseSchema, OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { createEdgeInterceptor } from "../../src/rpc/edge-interceptor.ts";

/** A client of a handler that waits until its call is over, and what the server logs of it. */
function waitingServer() {
  const logged: unknown[] = [];
  const log = pino({ level: "error" }, { write: (line: string) => void logged.push(JSON.parse(line)) });
  const transport = createRouterTransport(
    (router) => {
      router.service(OperationsService, {
        getOperation: async (_, { signal }) => {
          await pause(60_000, undefined, { signal });
          return create(GetOperationResponseSchema);
        },
      });
    },
    { router: { interceptors: [createEdgeInterceptor("here", 8, log)] } },
  );
  return { client: createClient(OperationsService, transport), logged };
}

test("work that was interrupted by the call's own deadline is no fault of the server", async () => {
  const { client, logged } = waitingServer();
  const failure = await client.getOperation({ operationId: "op_a" }, { timeoutMs: 20 }).catch(ConnectError.from);
  expect(failure).toMatchObject({ code: Code.DeadlineExceeded });
  expect(logged).toEqual([]);
});

test("an error of the server's own is INTERNAL, whatever the deadline", async () => {
  const log = pino({ level: "silent" });
  const interceptor = createEdgeInterceptor("here", 8, log);
  const over = AbortSignal.abort(new ConnectError("too late", Code.DeadlineExceeded));
  const request = { signal: over, header: new Headers(), contextValues: new Map(), message: {}, method: {} };
  const call = interceptor(() => Promise.reject(new Error("a bug")));
  const failure = await Promise.resolve(call(request as never)).catch((error: unknown) => error);
  expect((failure as ConnectError).findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "INTERNAL" }]);
});
