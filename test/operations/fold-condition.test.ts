import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { type OperationFilter, OperationFilterSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { foldCondition } from "../../src/operations/fold-condition.ts";
import {
  allOf,
  anyOf,
  not,
  type OperationCondition,
  type TextField,
} from "../../src/operations/operation-condition.ts";

const { PENDING, RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;

type Conditions = Exclude<MessageInitShape<typeof OperationFilterSchema>, OperationFilter>;

const filter = (init: Conditions = {}) => create(OperationFilterSchema, init);
const text = (field: TextField, ...oneOf: string[]): OperationCondition => ({ kind: "text", field, oneOf });
const status = (...oneOf: OperationStatus[]): OperationCondition => ({ kind: "status", oneOf });
const created = (operator: "<" | "<=" | ">" | ">=" | "=", ms: number): OperationCondition => {
  return { kind: "time", field: "created_at", operator, ms };
};

describe("a filter can say all of", () => {
  test.each<[string, Conditions, OperationCondition, Conditions]>([
    ["a status", {}, status(RUNNING), { statuses: [RUNNING] }],
    ["a status that is excluded", {}, not(status(RUNNING)), { statuses: [PENDING, COMPLETED, FAILED, CANCELLED] }],
    ["either of two statuses", {}, anyOf([status(RUNNING), status(FAILED)]), { statuses: [RUNNING, FAILED] }],
    ["a status of several", { statuses: [RUNNING, FAILED] }, status(FAILED, PENDING), { statuses: [FAILED] }],
    [
      "either of two types",
      {},
      anyOf([text("operation_type", "training"), text("operation_type", "tuning")]),
      { operationTypes: ["training", "tuning"] },
    ],
    ["a parent", {}, text("parent_operation_id", "op_a"), { parentOperationId: "op_a" }],
    [
      "the same parent",
      { parentOperationId: "op_a" },
      text("parent_operation_id", "op_a"),
      { parentOperationId: "op_a" },
    ],
    ["a label", { labels: { a: "1" } }, text({ label: "b" }, "2"), { labels: { a: "1", b: "2" } }],
    ["the same label", { labels: { a: "1" } }, text({ label: "a" }, "1"), { labels: { a: "1" } }],
    ["created from", {}, created(">=", 5), { createdAfter: timestampFromMs(5) }],
    ["created after", {}, created(">", 5), { createdAfter: timestampFromMs(6) }],
    ["created before", {}, created("<", 5), { createdBefore: timestampFromMs(5) }],
    ["created until", {}, created("<=", 5), { createdBefore: timestampFromMs(6) }],
    ["created at", {}, created("=", 5), { createdAfter: timestampFromMs(5), createdBefore: timestampFromMs(6) }],
    [
      "the narrower of two ranges",
      { createdAfter: timestampFromMs(5), createdBefore: timestampFromMs(9) },
      allOf([created(">=", 4), created("<", 8), created(">", 6)]),
      { createdAfter: timestampFromMs(7), createdBefore: timestampFromMs(8) },
    ],
    [
      "all of them",
      {},
      allOf([text("operation_type", "training"), allOf([status(RUNNING), text({ label: "a" }, "1")])]),
      { operationTypes: ["training"], statuses: [RUNNING], labels: { a: "1" } },
    ],
    ["no condition at all", { labels: { a: "1" } }, allOf([]), { labels: { a: "1" } }],
  ])("%s", (_, given, condition, wanted) => {
    expect(foldCondition(filter(given), condition)).toEqual({ filter: filter(wanted), rest: undefined });
  });
});

describe("a filter cannot say", () => {
  test.each<[string, Conditions, OperationCondition]>([
    ["no status", {}, status()],
    ["a status that it excludes", { statuses: [RUNNING] }, status(FAILED)],
    ["a type that it excludes", { operationTypes: ["training"] }, text("operation_type", "tuning")],
    ["another parent", { parentOperationId: "op_a" }, text("parent_operation_id", "op_b")],
    ["an empty parent", {}, text("parent_operation_id", "")],
    ["two values of a label", { labels: { a: "1" } }, text({ label: "a" }, "2")],
    ["either of two values", {}, text({ label: "a" }, "1", "2")],
    ["an id", {}, text("operation_id", "op_a")],
    ["a label alone", {}, { kind: "set", field: { label: "a" } }],
    ["the end", {}, { kind: "time", field: "completed_at", operator: "<", ms: 5 }],
    ["either of two fields", {}, anyOf([status(RUNNING), text("operation_type", "training")])],
    ["the opposite of a label", {}, not(text({ label: "a" }, "1"))],
  ])("%s", (_, given, condition) => {
    expect(foldCondition(filter(given), condition)).toEqual({ filter: filter(given), rest: condition });
  });
});

test("what a filter cannot say is left over from what it can", () => {
  const either = anyOf([status(RUNNING), text({ label: "a" }, "1")]);
  expect(foldCondition(filter(), allOf([text("operation_type", "training"), either, created(">=", 5)]))).toEqual({
    filter: filter({ operationTypes: ["training"], createdAfter: timestampFromMs(5) }),
    rest: either,
  });
});

test("a label may have any key", () => {
  const { filter: folded } = foldCondition(filter(), text({ label: "__proto__" }, "1"));
  expect(Object.entries(folded.labels)).toEqual([["__proto__", "1"]]);
});
