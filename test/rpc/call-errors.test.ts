import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.ts";
import { type CallErrorKind, type CallErrorReason, callErrors } from "../../src/operations/call-reasons.ts";
import { CallError, invalidField } from "../../src/operations/errors.ts";
import { connectErrorFrom } from "../../src/rpc/call-errors.ts";

test.each(Object.entries<CallErrorKind>(callErrors))(
  "%s travels with its code, its reason, and what it says of retries",
  (reason, { code, meaning, advice, retryAfterMs }) => {
    const error = connectErrorFrom(new CallError(reason as CallErrorReason, "as the caller reads it"));
    expect(error).toMatchObject({ code, rawMessage: "as the caller reads it" });
    expect(Code[error.code]).toBeDefined();
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason, domain: "longhaul" }]);
    expect(reason).toMatch(/^[A-Z]+(_[A-Z]+)*$/);
    expect([meaning, advice].every((text) => /^[^|\n]+\.$/.test(text))).toBe(true);
    const delays = error.findDetails(RetryInfoSchema).map(({ retryDelay }) => retryDelay && durationMs(retryDelay));
    expect(delays).toEqual(retryAfterMs === undefined ? [] : [retryAfterMs]);
    const isRetriedByPolicy = [Code.Unavailable, Code.Aborted, Code.ResourceExhausted].includes(error.code);
    expect(error.metadata.get("grpc-retry-pushback-ms")).toBe(
      retryAfterMs === undefined ? (isRetriedByPolicy ? "-1" : null) : `${retryAfterMs}`,
    );
  },
);

test("a call that would do its work twice is not to be repeated once it may have been done", () => {
  const tried = new CallError("STORE_UNAVAILABLE", "the answer was lost", { mayBeDone: true });
  const refused = new CallError("STORE_UNAVAILABLE", "not tried");
  const pushback = (error: CallError, isRepeatable: boolean) => {
    const answer = connectErrorFrom(error, isRepeatable);
    return [answer.metadata.get("grpc-retry-pushback-ms"), answer.findDetails(RetryInfoSchema).length];
  };
  expect(pushback(tried, true)).toEqual(["1000", 1]);
  expect(pushback(refused, false)).toEqual(["1000", 1]);
  expect(pushback(tried, false)).toEqual(["-1", 0]);
});

test("a message of any length leaves room for the rest of the headers, and can be sent", () => {
  const { rawMessage } = connectErrorFrom(
    new CallError("INVALID_MESSAGE", `${"x".repeat(996)}\u{1f600}${"y".repeat(2 ** 20)}`),
  );
  expect(rawMessage).toHaveLength(1_000);
  expect(() => encodeURIComponent(rawMessage)).not.toThrow();
});

test("violations, the operation and the time to wait are details of their own", () => {
  const field = connectErrorFrom(invalidField("metadata.symbol", "is too long"));
  expect(field.findDetails(BadRequestSchema)).toMatchObject([
    { fieldViolations: [{ field: "metadata.symbol", description: "is too long" }] },
  ]);
  const missing = connectErrorFrom(new CallError("OPERATION_NOT_FOUND", "not there", { operationId: "op_a" }));
  expect(missing.findDetails(ResourceInfoSchema)).toMatchObject([
    { resourceType: "longhaul.v1.OperationInfo", resourceName: "op_a" },
  ]);
  const service = connectErrorFrom(new CallError("SERVICE_NOT_FOUND", "not here", { serviceName: "a.Service" }));
  expect(service.findDetails(ResourceInfoSchema)).toMatchObject([
    { resourceType: "gRPC service", resourceName: "a.Service", description: "not here" },
  ]);
  const stopping = connectErrorFrom(new CallError("SHUTTING_DOWN", "soon", { retryAfterMs: 1_500 }));
  expect(stopping.findDetails(RetryInfoSchema)).toMatchObject([{ retryDelay: { seconds: 1n, nanos: 500_000_000 } }]);
});

test("what is this server's fault is INTERNAL, and its text stays here", () => {
  for (const error of [new Error("password=hunter2"), "password=hunter2", { password: "hunter2" }, undefined]) {
    const answer = connectErrorFrom(error);
    expect(answer).toMatchObject({
      code: Code.Internal,
      rawMessage: "internal error; the server's log has the details",
    });
    expect(answer.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "INTERNAL" }]);
    expect(answer.cause).toBeUndefined();
  }
});

test("an error of the protocol layer gets a reason, and loses headers that are not ours", () => {
  const answer = connectErrorFrom(new ConnectError("too late", Code.DeadlineExceeded, { "x-secret": "1" }));
  expect(answer).toMatchObject({ code: Code.DeadlineExceeded, rawMessage: "too late" });
  expect(answer.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "DEADLINE_EXCEEDED", domain: "longhaul" }]);
  expect([...answer.metadata]).toEqual([]);
});

test.each<[string, Code, CallErrorReason]>([
  ["protocol error: incomplete envelope", Code.InvalidArgument, "INVALID_MESSAGE"],
  ["parse binary: premature EOF", Code.Internal, "INVALID_MESSAGE"],
  ["serialize binary: too long", Code.Internal, "INTERNAL"],
  ["received compressed envelope, but do not know how to decompress", Code.Internal, "PROTOCOL_ERROR"],
  ["message is larger than configured", Code.ResourceExhausted, "MESSAGE_TOO_LARGE"],
  ['unknown compression "zstd": supported encodings are gzip,br', Code.Unimplemented, "UNSUPPORTED_COMPRESSION"],
  ["protocol error: missing input message for unary method", Code.Unimplemented, "WRONG_MESSAGE_COUNT"],
  ["stream closed", Code.Canceled, "CANCELLED"],
  ["read ECONNRESET", Code.Aborted, "CANCELLED"],
  ["shutting down", Code.Unavailable, "SHUTTING_DOWN"],
  ["what is this", Code.DataLoss, "INTERNAL"],
])("of the protocol layer's errors, %j with code %i is %s", (message, code, reason) => {
  const answer = connectErrorFrom(new ConnectError(message, code));
  expect(answer.code).toBe(callErrors[reason].code);
  expect(answer.findDetails(ErrorInfoSchema)).toMatchObject([{ reason }]);
});
