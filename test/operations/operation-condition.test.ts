import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { expect, test } from "vitest";
import { OperationInfoSchema, type OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  allOf,
  anyOf,
  conditionHolds,
  not,
  type OperationCondition,
} from "../../src/operations/operation-condition.ts";
import { generatedConditions } from "../support/generated-conditions.ts";

const values = {
  operationIds: ["op_a", "op_b"],
  operationTypes: ["training", "data_load"],
  labelKeys: ["team", "stage"],
  labelValues: ["ml", ""],
  times: [1_000, 2_000],
};
const condition = generatedConditions(values);
const info = fc
  .record({
    operationId: fc.constantFrom(...values.operationIds),
    operationType: fc.constantFrom(...values.operationTypes),
    status: fc.integer({ min: 1, max: 5 }) as fc.Arbitrary<OperationStatus>,
    parentOperationId: fc.constantFrom("", ...values.operationIds),
    labels: fc.dictionary(fc.constantFrom(...values.labelKeys), fc.constantFrom(...values.labelValues)),
    createdAt: fc.constantFrom(...values.times).map(timestampFromMs),
    completedAt: fc.option(fc.constantFrom(...values.times).map(timestampFromMs), { nil: undefined }),
  })
  .map(({ completedAt, ...rest }) => create(OperationInfoSchema, { ...rest, ...(completedAt && { completedAt }) }));

test("what puts conditions together changes nothing about what they mean", () => {
  fc.assert(
    fc.property(fc.array(condition, { maxLength: 4 }), info, (conditions, one) => {
      const each = conditions.map((condition) => conditionHolds(condition, one));
      expect(conditionHolds(allOf(conditions), one)).toBe(each.every(Boolean));
      expect(conditionHolds(anyOf(conditions), one)).toBe(each.some(Boolean));
      expect(conditionHolds(not(allOf(conditions)), one)).toBe(!each.every(Boolean));
      expect(conditionHolds(not(not(anyOf(conditions))), one)).toBe(each.some(Boolean));
    }),
  );
});

test("labels are the operation's own, whatever their keys", () => {
  const one = create(OperationInfoSchema, { labels: { team: "ml" } });
  const has = (label: string): OperationCondition => ({ kind: "set", field: { label } });
  expect(conditionHolds(has("team"), one)).toBe(true);
  expect(conditionHolds(has("constructor"), one)).toBe(false);
  expect(conditionHolds(has("__proto__"), one)).toBe(false);
});

test("text is ordered by its bytes, as stores do it", () => {
  const one = create(OperationInfoSchema, { labels: { note: "\u{1F680}" } });
  const above = (value: string): OperationCondition => {
    return { kind: "order", field: { label: "note" }, operator: ">", value };
  };
  // In UTF-16 it would be the other way round.
  expect(conditionHolds(above("\u{FF5E}"), one)).toBe(true);
});
