import { gzipSync } from "node:zlib";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { callerRuns } from "../../src/operations/caller-runs.ts";
import { post } from "../abuse/attacks.ts";
import { grpcMessage } from "../abuse/http2-frames.ts";
import { startTestServer } from "../support/test-server.ts";
import { testServices } from "../support/test-services.ts";

/** The reason a call is refused with, and whether it says when to try again. */
async function refusal(
  call: Promise<unknown>,
): Promise<{ code: Code; reason: string | undefined; isRetryTold: boolean }> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => ConnectError.from(thrown),
  );
  expect(error).toBeDefined();
  return {
    code: error?.code ?? Code.Unknown,
    reason: error?.findDetails(ErrorInfoSchema)[0]?.reason,
    isRetryTold: error?.findDetails(RetryInfoSchema).length === 1,
  };
}

describe("limits", () => {
  test("a wait that is one too many is refused, and taken when another has ended", async () => {
    const { client, operations } = await startTestServer({ settings: { maxWaiters: 2 } });
    const { operationId } = await operations.createOperation({ operationType: "work" }, { executor: callerRuns });
    const wait = () => client.waitOperation({ operationId, untilDone: true });
    const waiting = [wait(), wait()];
    await expect
      .poll(() => refusal(client.waitOperation({ operationId, timeout: { nanos: 1_000_000 } })).catch(() => undefined))
      .toEqual({ code: Code.ResourceExhausted, reason: "TOO_MANY_WAITERS", isRetryTold: true });
    await client.cancelOperation({ operationId, reason: "enough" });
    await Promise.all(waiting);
    await client.waitOperation({ operationId });
  });

  test("a caller who calls too often is refused", async () => {
    const { client } = await startTestServer({ settings: { rateLimitPerSecond: 1, rateLimitBurst: 3 } });
    const calls = Array.from({ length: 6 }, () => client.countOperations({}));
    const refused = (await Promise.allSettled(calls)).filter(({ status }) => status === "rejected");
    expect(refused.length).toBeGreaterThan(0);
    expect(await refusal(Promise.reject((refused[0] as PromiseRejectedResult).reason))).toEqual({
      code: Code.ResourceExhausted,
      reason: "RATE_LIMITED",
      isRetryTold: true,
    });
  });

  test("labels and metadata beyond what the server keeps are refused by name", async () => {
    const { client } = await startTestServer({
      orchestrators: [testServices],
      settings: { maxLabels: 2, maxMetadataBytes: 200 },
    });
    const create = (more: object) => client.createOperation({ operationType: "training", ...more });
    await create({ labels: { a: "1", b: "2" }, metadata: { parameters: { text: "x".repeat(100) } } });
    await expect(create({ labels: { a: "1", b: "2", c: "3" } })).rejects.toThrow("labels: has 3 labels; at most 2");
    await expect(create({ metadata: { parameters: { text: "x".repeat(200) } } })).rejects.toThrow(
      /metadata: has 2\d\d bytes; at most 200 are allowed/,
    );
  });

  test("a message counts as it is unpacked, in gRPC and in Connect", async () => {
    const { port } = await startTestServer({ settings: { maxMessageBytes: 10_000 } });
    const path = "/longhaul.v1.OperationsService/CountOperations";
    const packed = gzipSync(Buffer.alloc(10_001));
    expect(packed.length).toBeLessThan(200);
    const grpc = { "content-type": "application/grpc", "grpc-encoding": "gzip" };
    expect(await post({ port }, path, grpc, grpcMessage(packed, true))).toEqual({ httpStatus: 200, grpcStatus: 8 });
    const connect = { "content-type": "application/proto", "content-encoding": "gzip" };
    expect((await post({ port }, path, connect, packed)).httpStatus).toBe(429);
  });
});
