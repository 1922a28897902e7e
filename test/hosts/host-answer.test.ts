import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { askHost } from "../../src/hosts/host-answer.ts";

const url = "http://host.test:1";
const failing = (error: unknown) => askHost(url, () => Promise.reject(error));

describe("what a host says", () => {
  test("is answered as it is", async () => {
    expect(await askHost(url, async () => 42)).toEqual({ outcome: "answered", value: 42 });
  });

  test.each([
    [Code.NotFound, "gone"],
    [Code.Unimplemented, "unimplemented"],
    [Code.InvalidArgument, "refused"],
    [Code.FailedPrecondition, "refused"],
    [Code.AlreadyExists, "refused"],
    [Code.OutOfRange, "refused"],
    [Code.PermissionDenied, "refused"],
    [Code.Unavailable, "unreachable"],
    [Code.DeadlineExceeded, "unreachable"],
    [Code.Canceled, "unreachable"],
    [Code.Aborted, "unreachable"],
    [Code.Internal, "unreachable"],
    [Code.Unknown, "unreachable"],
    [Code.DataLoss, "unreachable"],
    [Code.ResourceExhausted, "unreachable"],
    [Code.Unauthenticated, "unreachable"],
  ])("with code %i counts as %s", async (code, outcome) => {
    const answer = await failing(new ConnectError("no", code));
    expect(answer).toMatchObject({ outcome, reason: expect.stringContaining(`host ${url}: no`) });
  });

  test("when it throws anything else, it was not reachable", async () => {
    expect(await failing(new Error("socket hang up"))).toMatchObject({
      outcome: "unreachable",
      reason: expect.stringContaining("socket hang up"),
    });
  });
});

test("a refusal names the host and keeps its code and reason, but none of its headers", async () => {
  const refusal = new ConnectError("total_steps: -1 is out of range", Code.InvalidArgument, {
    "x-secret": "of the host",
  });
  refusal.details.push({ desc: ErrorInfoSchema, value: { reason: "INVALID_FIELD", domain: "elsewhere" } });
  const answer = await failing(refusal);
  expect(answer).toMatchObject({
    outcome: "refused",
    error: {
      code: Code.InvalidArgument,
      reason: "INVALID_FIELD",
      message: `host ${url} refused the operation: total_steps: -1 is out of range`,
    },
  });
  expect(JSON.stringify(answer)).not.toContain("of the host");
});

test("a refusal without a reason is HOST_REFUSED", async () => {
  expect(await failing(new ConnectError("no", Code.FailedPrecondition))).toMatchObject({
    error: { reason: "HOST_REFUSED" },
  });
});
