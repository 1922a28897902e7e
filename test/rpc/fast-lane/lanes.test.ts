import { gzipSync } from "node:zlib";
import { create, type DescMessage, type MessageInitShape, toBinary, toJsonString } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ListOperationsRequestSchema as LongrunningListSchema } from "../../../gen/google/longrunning/operations_pb.ts";
import {
  CountOperationsRequestSchema,
  CreateOperationRequestSchema,
  DeleteOperationRequestSchema,
  GetMetricsRequestSchema,
  GetOperationRequestSchema,
  ListOperationsRequestSchema,
  WaitOperationRequestSchema,
} from "../../../gen/longhaul/v1/operations_service_pb.ts";
import { roleTokens } from "../../support/access-files.ts";
import { frame } from "../../support/raw-rpc.ts";
import { startTestRegistry } from "../../support/test-registry.ts";
import { type LaneCall, maxMessageBytes, openTwoLanes } from "./two-lanes.ts";

const service = "/longhaul.v1.OperationsService/";
const running = "op_training_20260120_093000_running0";
const ended = "op_training_20260120_093000_ended000";
const missing = "op_training_20260120_093000_missing0";

type HttpVersion = "HTTP/2" | "HTTP/1.1";

/** Two ways into a registry that holds an operation that runs and one that has ended. */
async function lanes() {
  const { operations } = await startTestRegistry();
  for (const operationId of [running, ended]) {
    await operations.createOperation({
      operationId,
      operationType: "training",
      labels: { team: "ml" },
      metadata: { symbol: "EURUSD", parameters: { text: "ä".repeat(300) } },
    });
    await operations.startOperation(operationId);
  }
  await operations.failOperation(ended, "no data");
  const { fast, plain } = await openTwoLanes(operations);
  return (version: HttpVersion) => {
    const name = version === "HTTP/2" ? "call" : "callHttp1";
    return async (call: LaneCall) => ({ fast: await fast[name](call), plain: await plain[name](call) });
  };
}

const message = <S extends DescMessage>(schema: S, init: MessageInitShape<S>) => toBinary(schema, create(schema, init));
/** The data of a request, and the same in JSON. */
const inBoth = <S extends DescMessage>(schema: S, init: MessageInitShape<S>) => ({
  data: message(schema, init),
  json: toJsonString(schema, create(schema, init)),
});
const id = fc.constantFrom(running, ended, missing, "", "nonsense", "é");
/** A method and a request that does the same each time. */
const request = fc.oneof(
  fc.record({ operationId: id, knownRevision: fc.constantFrom(0n, 1n, 2n ** 40n) }).map((init) => ({
    path: `${service}GetOperation`,
    ...inBoth(GetOperationRequestSchema, init),
  })),
  fc.record({ operationId: id, untilDone: fc.boolean() }).map((init) => ({
    path: `${service}WaitOperation`,
    ...inBoth(WaitOperationRequestSchema, { ...init, timeout: { nanos: 1_000_000 } }),
  })),
  fc.record({ pageSize: fc.constantFrom(0, 1, -1, 5_000), pageToken: fc.constantFrom("", "x") }).map((init) => ({
    path: `${service}ListOperations`,
    ...inBoth(ListOperationsRequestSchema, init),
  })),
  fc.record({ operationId: id, cursor: fc.constantFrom(0n, 7n) }).map((init) => ({
    path: `${service}GetMetrics`,
    ...inBoth(GetMetricsRequestSchema, init),
  })),
  fc.record({ operationId: id, requestId: fc.constantFrom("", "r1") }).map(({ operationId, requestId }) => ({
    path: `${service}CreateOperation`,
    ...inBoth(CreateOperationRequestSchema, { operationId, requestId, operationType: "none" }),
  })),
  fc.constantFrom(running, missing).map((operationId) => ({
    path: `${service}DeleteOperation`,
    ...inBoth(DeleteOperationRequestSchema, { operationId }),
  })),
  fc.constant({ path: `${service}CountOperations`, ...inBoth(CountOperationsRequestSchema, {}) }),
  fc.constantFrom("", "status = RUNNING", "(").map((filter) => ({
    path: "/google.longrunning.Operations/ListOperations",
    ...inBoth(LongrunningListSchema, { name: "operations", filter }),
  })),
  fc.uint8Array({ maxLength: 60 }).map((data) => ({
    path: `${service}GetOperation`,
    data,
    json: Buffer.from(data).toString("latin1"),
  })),
  fc.constant({ path: `${service}NoSuchMethod`, data: new Uint8Array(), json: "" }),
);

/** Bodies that hold a message, and those that spoil one. */
const bodyOf = (data: Uint8Array) => {
  const whole = frame(data);
  const packed = frame(gzipSync(data), 1);
  return fc.oneof(
    { weight: 4, arbitrary: fc.constant(whole) },
    fc.constant(packed),
    fc.nat(whole.length).map((length) => whole.subarray(0, length)),
    fc.nat(packed.length).map((length) => packed.subarray(0, length)),
    fc.nat(whole.length).map((length) => Buffer.concat([whole, whole.subarray(0, length)])),
    fc.constant(frame(data, 1)),
    fc.constant(frame(data, 2)),
    fc.constant(frame(data, 128)),
    fc.constant(Buffer.concat([whole, frame(new Uint8Array(maxMessageBytes + 1))])),
    fc.constant(frame(new Uint8Array(maxMessageBytes + 1))),
    fc.constant(frame(gzipSync(new Uint8Array(100 * maxMessageBytes)), 1)),
    fc.constant(Buffer.from([0, 0xff, 0xff, 0xff, 0xff])),
    fc.constant(Buffer.alloc(0)),
  );
};

/** Bodies of Connect that hold a message, and those that spoil one. */
const plainBodyOf = (data: Uint8Array) => {
  const whole = Buffer.from(data);
  return fc.oneof(
    { weight: 4, arbitrary: fc.constant(whole) },
    fc.constant(gzipSync(whole)),
    fc.nat(whole.length).map((length) => whole.subarray(0, length)),
    fc.constant(Buffer.alloc(maxMessageBytes + 1, " ")),
    fc.constant(gzipSync(Buffer.alloc(100 * maxMessageBytes, " "))),
    fc.constant(Buffer.from('{"nope": 1}')),
    fc.constant(Buffer.alloc(0)),
  );
};

/** A body in pieces. */
const piecesOf = (body: Buffer) =>
  fc.uniqueArray(fc.nat(body.length), { maxLength: 3 }).map((cuts) => {
    const at = [0, ...cuts.sort((a, b) => a - b), body.length];
    return at.slice(1).map((end, index) => body.subarray(at[index], end));
  });

const metadataValues = {
  "content-type": fc.constantFrom(
    "application/grpc+proto",
    "application/grpc+json",
    "application/GRPC",
    "application/grpc; charset=utf-8",
    "application/grpc-web+proto",
    "application/json; charset=utf-8",
    "application/JSON",
    "application/connect+proto",
    "text/plain",
  ),
  authorization: fc.constantFrom(
    ...Object.values(roleTokens).map((token) => `Bearer ${token}`),
    "Bearer nobody-token-0123456789",
    "Basic abc",
    "",
  ),
  "grpc-timeout": fc.constantFrom("10S", "0m", "99999999H", "1x", "-1S", "", "123456789S", "5000m"),
  "grpc-encoding": fc.constantFrom("gzip", "identity", "br", "snappy", ""),
  "grpc-accept-encoding": fc.constantFrom("gzip", "identity,gzip", "br, gzip", "snappy", "identity", ""),
  "connect-timeout-ms": fc.constantFrom("10000", "0", "99999999999", "1x", "-1", "", "5000"),
  "content-encoding": fc.constantFrom("gzip", "identity", "br", "snappy", ""),
  "accept-encoding": fc.constantFrom("gzip, deflate, br", "identity", "snappy", ""),
  "connect-protocol-version": fc.constantFrom("1", "2"),
  traceparent: fc.constantFrom("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "nonsense", ""),
  "longhaul-via": fc.constantFrom("a,b", "two-lanes", Array(50).fill("x").join(","), ""),
  "longhaul-owner": fc.constantFrom("nobody", ""),
  "x-custom-bin": fc.constantFrom("AAEC", ["AAEC", "AwQ="]),
  "set-cookie": fc.constant<string[]>(["a=1", "b=2"]),
  expect: fc.constant("100-continue"),
  ":authority": fc.constantFrom("127.0.0.1:1,127.0.0.1:2", "localhost"),
};
/** Many of them, with which hardly a call is a good one, or a few. */
const metadata = fc.oneof(
  fc.record(metadataValues, { requiredKeys: [] }),
  fc
    .tuple(fc.record(metadataValues), fc.subarray(Object.keys(metadataValues), { maxLength: 2 }))
    .map(([all, names]) => Object.fromEntries(Object.entries(all).filter(([name]) => names.includes(name)))),
);

const wire = fc.constantFrom("application/grpc", "application/proto", "application/json");

const call = fc.tuple(request, wire).chain(([{ path, data, json }, type]) =>
  fc
    .record({
      metadata,
      chunks: (type === "application/grpc"
        ? bodyOf(data)
        : plainBodyOf(type === "application/json" ? Buffer.from(json) : data)
      ).chain(piecesOf),
      isPlain: fc.boolean(),
      isMeasured: fc.boolean(),
      isAdmin: fc.boolean(),
    })
    .map(({ metadata, chunks, isPlain, isMeasured, isAdmin }) => ({
      isMeasured,
      headers: {
        "content-type": type,
        ...metadata,
        ...(isPlain && { "content-type": type }),
        ...(isAdmin && { authorization: `Bearer ${roleTokens.admin}` }),
        ":path": path,
      },
      chunks,
    })),
);

/** Whether a call is one of gRPC that the fast lane answers. */
function isFastGrpc({ headers }: LaneCall): boolean {
  const isServed = headers["expect"] === undefined && headers[":path"] !== `${service}NoSuchMethod`;
  return isServed && /^application\/grpc(\+proto)?$/i.test(String(headers["content-type"]));
}

describe("the two lanes", () => {
  test.each<HttpVersion>(["HTTP/2", "HTTP/1.1"])(
    "answer the same calls over %s alike, and record the same of them",
    { timeout: 120_000 },
    async (version) => {
      const both = (await lanes())(version);
      await fc.assert(
        fc.asyncProperty(call, async (one) => {
          const { fast, plain } = await both(one);
          expect(fast.outcome).toEqual(plain.outcome);
          // An error is never cut in two, or a client that loses the second half could not retry.
          if (version === "HTTP/2" && isFastGrpc(one) && fast.outcome.headers["grpc-status"] !== undefined) {
            expect(fast.isTrailersOnly).toBe(true);
          }
        }),
        { numRuns: Number(process.env["LANES_RUNS"] ?? 1_500), seed: 5, endOnFailure: false },
      );
    },
  );

  const path = `${service}WaitOperation`;
  const patient = message(WaitOperationRequestSchema, { operationId: running, timeout: { seconds: 30n } });
  const [framed, grpc, connect] = [frame(patient), "application/grpc", "application/proto"];
  test.each([
    ["HTTP/2", "half-way through its message", grpc, framed.subarray(0, 10), "lose", "refused"],
    ["HTTP/2", "without ending its request", grpc, framed, "lose", "refused"],
    ["HTTP/2", "while it waits for the answer", grpc, framed, "end and reset", "ended"],
    ["HTTP/1.1", "half-way through its message", connect, patient.subarray(0, 10), "lose", "refused"],
    ["HTTP/1.1", "without ending its request", connect, patient, "lose", "refused"],
    ["HTTP/1.1", "while it waits for the answer", connect, patient, "end and reset", "ended"],
  ] as const)(
    "know that a call over %s was given up whose caller leaves %s",
    async (version, _, type, body, ending, kind) => {
      const both = (await lanes())(version);
      const headers = { "content-type": type, authorization: `Bearer ${roleTokens.admin}`, ":path": path };
      const { fast, plain } = await both({ headers, chunks: [body], finally: ending });
      const cancelled = { [kind]: expect.any(String), error: { code: Code.Canceled } };
      expect(fast.outcome.records.at(-1)).toMatchObject(cancelled);
      // The other lane takes a lost connection for its own fault.
      expect(plain.outcome.records.at(-1)).toMatchObject(
        ending === "lose" ? { [kind]: expect.any(String) } : cancelled,
      );
    },
  );
});
