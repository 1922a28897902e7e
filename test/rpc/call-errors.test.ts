import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.ts";
import { CallError, type CallErrorReason, callErrors, invalidField } from "../../src/operations/errors.ts";
import { connectErrorFrom } from "../../src/rpc/call-errors.ts";

test.each(Object.entries(callErrors) as [CallErrorReason, number][])(
  "%s travels with its code and reason",
  (reason, code) => {
    const error = connectErrorFrom(new CallError(reason, "as the caller reads it"));
    expect(error).toMatchObject({ code, rawMessage: "as the caller reads it" });
    expect(Code[error.code]).toBeDefined();
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason, domain: "longhaul" }]);
    expect(reason).toMatch(/^[A-Z]+(_[A-Z]+)*$/);
  },
);

test("violations, the operation and the time to wait are details of their own", () => {
  const field = connectErrorFrom(invalidField("metadata.symbol", "is too long"));
  expect(field.findDetails(BadRequestSchema)).toMatchObject([
    { fieldViolations: [{ field: "metadata.symbol", description: "is too long" }] },
  ]);
  const missing = connectErrorFrom(new CallError("OPERATION_NOT_FOUND", "not there", { operationId: "op_a" }));
  expect(missing.findDetails(ResourceInfoSchema)).toMatchObject([
    { resourceType: "longhaul.v1.OperationInfo", resourceName: "op_a" },
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
