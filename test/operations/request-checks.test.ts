import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { CreateOperationRequestSchema, OperationFilterSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { checkCreateRequest, checkFilter, clampCount, durationOr } from "../../src/operations/request-checks.ts";

/** A refusal that names the field, in its message and as a violation. */
const namesField = (field: string) =>
  expect.objectContaining({
    reason: "INVALID_FIELD",
    message: expect.stringContaining(`${field}: `),
    details: { violations: expect.arrayContaining([{ field, description: expect.any(String) }]) },
  });

const pairs = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, "v"]));
const seconds = (value: bigint) => ({ seconds: value, nanos: 0 });
const beyondTime = seconds(253_402_300_800n);

describe("a create request", () => {
  const check = (init: MessageInitShape<typeof CreateOperationRequestSchema>) =>
    checkCreateRequest(create(CreateOperationRequestSchema, { operationType: "training", ...init }));

  test.each<[string, MessageInitShape<typeof CreateOperationRequestSchema>]>([
    ["operation_id", { operationId: "mine" }],
    ["parent_operation_id", { parentOperationId: "theirs" }],
    ["operation_name", { operationName: "x".repeat(257) }],
    ["request_id", { requestId: "x".repeat(129) }],
    ["total_steps", { totalSteps: -1n }],
    ["total_steps", { totalSteps: 2n ** 60n }],
    ["labels", { labels: pairs(65) }],
    ['labels[""]', { labels: { "": "v" } }],
    ['labels["a b"]', { labels: { "a b": "v" } }],
    [`labels["${"x".repeat(64)}"]`, { labels: { ["x".repeat(64)]: "v" } }],
    ['labels["k"]', { labels: { k: "x".repeat(257) } }],
    ["phases[0].name", { phases: [{ name: "", toPercentage: 10 }] }],
    [
      "phases[1]",
      {
        phases: [
          { name: "a", toPercentage: 50 },
          { name: "b", fromPercentage: 40, toPercentage: 60 },
        ],
      },
    ],
    ["phases[0].from_percentage", { phases: [{ name: "a", fromPercentage: -1, toPercentage: 10 }] }],
    ["phases[0].to_percentage", { phases: [{ name: "a", toPercentage: 101 }] }],
    ["phases[0].to_percentage", { phases: [{ name: "a", toPercentage: Number.NaN }] }],
    ["phases[0]", { phases: [{ name: "a", fromPercentage: 20, toPercentage: 10 }] }],
    ["metadata.symbol", { metadata: { symbol: "x".repeat(257) } }],
    ["metadata.start_date", { metadata: { startDate: beyondTime } }],
    ["metadata", { metadata: { startDate: seconds(2n), endDate: seconds(1n) } }],
    ["retention", { retention: durationFromMs(-1) }],
    ["retention", { retention: seconds(11n * 366n * 86_400n) }],
    ["execution_timeout", { executionTimeout: durationFromMs(0) }],
    ["execution_timeout", { executionTimeout: seconds(9_223_372_036_854_775_807n) }],
  ])("is refused for %s (%#)", (field, init) => {
    expect(() => check(init)).toThrow(namesField(field));
  });

  test("with everything at its limit is accepted", () => {
    const request: MessageInitShape<typeof CreateOperationRequestSchema> = {
      operationId: `op_${"a".repeat(125)}`,
      operationName: "x".repeat(256),
      requestId: "x".repeat(128),
      totalSteps: BigInt(Number.MAX_SAFE_INTEGER),
      labels: { ...pairs(63), ["x".repeat(63)]: "y".repeat(256) },
      phases: [
        { name: "a", toPercentage: 50 },
        { name: "b", fromPercentage: 50, toPercentage: 100 },
      ],
      metadata: { symbol: "x".repeat(256), startDate: seconds(1n), endDate: seconds(1n) },
      retention: durationFromMs(0),
      executionTimeout: durationFromMs(1),
    };
    expect(() => check(request)).not.toThrow();
  });
});

describe("a filter", () => {
  const check = (init: MessageInitShape<typeof OperationFilterSchema>) =>
    checkFilter(create(OperationFilterSchema, init));

  test.each<[string, MessageInitShape<typeof OperationFilterSchema>]>([
    ["filter.operation_types[1]", { operationTypes: ["training", "Not A Type"] }],
    ["filter.statuses[0]", { statuses: [0] }],
    ["filter.statuses[1]", { statuses: [2, 77 as never] }],
    ["filter.parent_operation_id", { parentOperationId: "x" }],
    ['filter.labels["?"]', { labels: { "?": "v" } }],
    ["filter.created_after", { createdAfter: beyondTime }],
    ["filter.created_before", { createdBefore: seconds(-62_135_596_801n) }],
  ])("is refused for %s", (field, init) => {
    expect(() => check(init)).toThrow(namesField(field));
  });

  test("may ask for a type that nobody serves", () => {
    expect(() => check({ operationTypes: ["somebody_elses"] })).not.toThrow();
  });
});

test("a count is its default when 0, and its most when more", () => {
  expect([0, 1, 1_000, 2_147_483_647].map((size) => clampCount(size, 50, 1_000))).toEqual([50, 1, 1_000, 1_000]);
});

test("a duration is its default when unset", () => {
  expect(durationOr(undefined, 30_000)).toBe(30_000);
  expect(durationOr(durationFromMs(0), 30_000)).toBe(0);
});
