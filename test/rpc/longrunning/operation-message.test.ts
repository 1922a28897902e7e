import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Any, anyPack, anyUnpack, EmptySchema, StructSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { OperationSchema } from "../../../gen/google/longrunning/operations_pb.ts";
import { Code } from "../../../gen/google/rpc/code_pb.ts";
import { ErrorInfoSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { FreshnessSource, OperationInfoSchema, OperationStatus } from "../../../gen/longhaul/v1/operation_pb.ts";
import { operationFromInfo } from "../../../src/rpc/longrunning/operation-message.ts";

const { PENDING, RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;

type Init = MessageInitShape<typeof OperationInfoSchema>;

const infoOf = (init: Init) => create(OperationInfoSchema, { operationId: "op_a", ...init });
const messageOf = (init: Init) => operationFromInfo(infoOf(init));
const metadataOf = (init: Init) => anyUnpack(messageOf(init).metadata as Any, OperationInfoSchema);
const bytesOf = (init: Init) => Buffer.from(toBinary(OperationSchema, messageOf(init))).toString("hex");

test("an operation has a name and its OperationInfo, and is not done before its end", () => {
  for (const status of [PENDING, RUNNING]) {
    const { name, done, result } = messageOf({ status });
    expect({ name, done, result: result.case }).toEqual({ name: "operations/op_a", done: false, result: undefined });
  }
  const cancelling = { status: RUNNING, cancellation: { requestedAt: timestampFromMs(1), reason: "enough" } };
  expect(messageOf(cancelling).done).toBe(false);
  const init: Init = {
    status: RUNNING,
    labels: { team: "ml" },
    progress: { percentage: 12.5, context: { epoch: 3 } },
    metadata: { symbol: "AAPL", parameters: { layers: [1, 2] } },
    revision: 7n,
  };
  expect(metadataOf(init)).toEqual(infoOf(init));
});

describe("metadata is the same to the byte as long as nothing changes:", () => {
  const seen = (ms: number): Init => ({
    status: RUNNING,
    freshness: { observedAt: timestampFromMs(ms), source: FreshnessSource.HOST, stale: true, staleReason: "no route" },
  });

  test("when it was observed is left out, and the rest of freshness is not", () => {
    expect(bytesOf(seen(1))).toBe(bytesOf(seen(2)));
    expect(metadataOf(seen(1))?.freshness).toMatchObject({
      source: FreshnessSource.HOST,
      stale: true,
      staleReason: "no route",
    });
    expect(metadataOf(seen(1))?.freshness?.observedAt).toBeUndefined();
  });

  test("the order of map entries does not matter, at any depth", () => {
    const mapped = (entries: <T>(...all: T[]) => T[]): Init => {
      const nested = Object.fromEntries(
        entries(["x", { ...Object.fromEntries(entries(["p", 1], ["q", [2]])) }], ["y", null]),
      );
      return {
        status: COMPLETED,
        labels: Object.fromEntries(entries(["a", "1"], ["b", "2"])),
        metadata: { parameters: nested },
        progress: { context: nested },
        resultSummary: { list: [nested] },
      };
    };
    expect(bytesOf(mapped((...all) => all))).toBe(bytesOf(mapped((...all) => all.toReversed())));
  });

  test("the snapshot itself stays as it is", () => {
    const info = infoOf(seen(1));
    operationFromInfo(info);
    expect(info.freshness?.observedAt).toEqual(timestampFromMs(1));
  });
});

describe("the response of a completed operation is", () => {
  const responseOf = (init: Init) => {
    const { done, result } = messageOf({ status: COMPLETED, ...init });
    expect(done).toBe(true);
    return result.case === "response" ? result.value : expect.unreachable();
  };

  test("its result", () => {
    const result = anyPack(RetryInfoSchema, create(RetryInfoSchema));
    expect(responseOf({ result, resultSummary: { loss: 0.5 } })).toEqual(result);
  });

  test("its summary, when it has no result", () => {
    expect(anyUnpack(responseOf({ resultSummary: { loss: 0.5 } }), StructSchema)?.fields).toMatchObject({
      loss: { kind: { case: "numberValue", value: 0.5 } },
    });
  });

  test("Empty, when it has neither", () => {
    expect(anyUnpack(responseOf({}), EmptySchema)).toEqual(create(EmptySchema));
  });
});

describe("the error of", () => {
  const errorOf = (init: Init) => {
    const { done, result } = messageOf(init);
    expect(done).toBe(true);
    return result.case === "error" ? result.value : expect.unreachable();
  };

  test("a failed operation has its code, message, reason and details", () => {
    const detail = anyPack(RetryInfoSchema, create(RetryInfoSchema));
    const { code, message, details } = errorOf({
      status: FAILED,
      error: { code: Code.DATA_LOSS, message: "bars are missing", reason: "NO_BARS", details: [detail] },
    });
    expect({ code, message }).toEqual({ code: Code.DATA_LOSS, message: "bars are missing" });
    expect(anyUnpack(details[0] as Any, ErrorInfoSchema)).toMatchObject({ domain: "longhaul", reason: "NO_BARS" });
    expect(details.slice(1)).toEqual([detail]);
  });

  test.each([0, -1, 17, 404])("a failed operation with code %i is UNKNOWN: others would be no error", (code) => {
    expect(errorOf({ status: FAILED, error: { code, message: "no" } }).code).toBe(Code.UNKNOWN);
  });

  test("a failed operation that says nothing is an error all the same", () => {
    const { code, message } = errorOf({ status: FAILED });
    expect({ code, message }).toEqual({ code: Code.UNKNOWN, message: "the operation failed" });
  });

  test("a cancelled operation is code 1 with the reason", () => {
    const { code, message, details } = errorOf({ status: CANCELLED, cancellation: { reason: "wrong data" } });
    expect({ code, message, details }).toEqual({ code: 1, message: "wrong data", details: [] });
  });
});
