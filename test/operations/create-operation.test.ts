import { clone, create, fromBinary, type JsonObject, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  type CreateOperationRequest,
  CreateOperationRequestSchema,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import { existingOperation, newStoredOperation } from "../../src/operations/create-operation.ts";

type Fields = Exclude<MessageInitShape<typeof CreateOperationRequestSchema>, CreateOperationRequest>;

const nowMs = Date.UTC(2026, 0, 20);
const fields: Fields = {
  operationType: "training",
  operationName: "night run",
  requestId: "r1",
  totalSteps: 10n,
  labels: { a: "1", b: "2" },
  metadata: { symbol: "AAPL", startDate: timestampFromMs(5), parameters: { x: 1, y: { z: [1, 2], w: null } } },
  retention: durationFromMs(60_000),
};

const stored = (init: MessageInitShape<typeof CreateOperationRequestSchema> = fields, retryOf = "") =>
  newStoredOperation(
    { request: create(CreateOperationRequestSchema, init), host: "", attempt: 1, retryOf },
    "server-1",
    nowMs,
  );

test("a new record is PENDING, has an id of its own and what its creator said", () => {
  const { info, request, dispatched, owner } = stored();
  expect(owner).toBe("server-1");
  expect(info).toMatchObject({
    operationType: "training",
    operationName: "night run",
    status: OperationStatus.PENDING,
    attempt: 1,
    labels: { a: "1", b: "2" },
    metadata: { symbol: "AAPL", parameters: { x: 1, y: { z: [1, 2], w: null } } },
    createdAt: timestampFromMs(nowMs),
    progress: { percentage: 0, stepsTotal: 10n },
  });
  expect(info.operationId).toMatch(/^op_training_20260120_000000_/);
  expect(request.operationId).toBe(info.operationId);
  expect(info.startedAt).toBeUndefined();
  expect(info.expiresAt).toBeUndefined();
  expect(dispatched).toBe(false);
});

test("a record does not follow what it was made of", () => {
  const labels: Record<string, string> = { a: "1" };
  const parameters: JsonObject = { x: { y: 1 } };
  const { request, info } = stored({ ...fields, labels, metadata: { parameters } });
  labels["b"] = "2";
  parameters["x"] = 2;
  for (const kept of [request, info]) {
    expect(kept.labels).toEqual({ a: "1" });
    expect(kept.metadata?.parameters).toEqual({ x: { y: 1 } });
  }
});

describe("the digest of a payload", () => {
  test("does not depend on the order of maps and keys, the request_id, or the way over the wire", () => {
    const { payloadHash } = stored();
    expect(stored({ ...fields, labels: { b: "2", a: "1" } }).payloadHash).toBe(payloadHash);
    expect(stored({ ...fields, requestId: "r2" }).payloadHash).toBe(payloadHash);
    const parameters = { y: { w: null, z: [1, 2] }, x: 1 };
    const reordered = { symbol: "AAPL", startDate: timestampFromMs(5), parameters };
    expect(stored({ ...fields, metadata: reordered }).payloadHash).toBe(payloadHash);
    const request = create(CreateOperationRequestSchema, fields);
    const travelled = fromBinary(CreateOperationRequestSchema, toBinary(CreateOperationRequestSchema, request));
    expect(stored(travelled).payloadHash).toBe(payloadHash);
    expect(stored(clone(CreateOperationRequestSchema, request)).payloadHash).toBe(payloadHash);
  });

  test.each<[string, Fields]>([
    ["type", { ...fields, operationType: "data_load" }],
    ["name", { ...fields, operationName: "day run" }],
    ["id", { ...fields, operationId: "op_mine" }],
    ["parent", { ...fields, parentOperationId: "op_p" }],
    ["steps", { ...fields, totalSteps: 11n }],
    ["labels", { ...fields, labels: { a: "1" } }],
    ["metadata", { ...fields, metadata: { symbol: "MSFT" } }],
    [
      "a nested parameter",
      { ...fields, metadata: { ...fields.metadata, parameters: { x: 1, y: { z: [2, 1] } } } as never },
    ],
    ["phases", { ...fields, phases: [{ name: "a", toPercentage: 10 }] }],
    ["retention", { ...fields, retention: durationFromMs(60_001) }],
    ["timeout", { ...fields, executionTimeout: durationFromMs(1) }],
  ])("is another one with another %s", (_, changed) => {
    expect(stored(changed).payloadHash).not.toBe(stored().payloadHash);
  });

  test("tells a retry from its original", () => {
    expect(stored(fields, "op_old").payloadHash).not.toBe(stored().payloadHash);
  });
});

describe("a create that meets an existing operation", () => {
  test("names that one when request_id and payload are the same", () => {
    const existing = stored();
    for (const conflict of ["request_id", "operation_id"] as const) {
      expect(existingOperation(stored(), { created: false, conflict, existing })).toBe(existing);
    }
  });

  test("is refused when the payload is another one", () => {
    const existing = stored();
    const other = stored({ ...fields, operationName: "day run" });
    expect(() => existingOperation(other, { created: false, conflict: "request_id", existing })).toThrow(
      expect.objectContaining({
        reason: "REQUEST_ID_REUSED",
        message: expect.stringContaining(existing.info.operationId),
      }),
    );
  });

  test("is refused when it has no request_id, however equal the payload", () => {
    const mine = { ...fields, requestId: "", operationId: "op_mine" };
    const existing = stored(mine);
    expect(() => existingOperation(stored(mine), { created: false, conflict: "operation_id", existing })).toThrow(
      expect.objectContaining({ reason: "OPERATION_ID_IN_USE" }),
    );
  });
});
