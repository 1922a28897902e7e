import { describe, expect, test } from "vitest";
import { createOperationId, quote } from "../../src/operations/operation-id.ts";
import { checkOperationId } from "../../src/operations/request-checks.ts";

const nowMs = Date.UTC(2025, 0, 20, 9, 30, 5, 999);

describe("a new id", () => {
  test("names type and UTC time and ends with 60 random bits", () => {
    expect(createOperationId("data_load", nowMs)).toMatch(/^op_data_load_20250120_093005_[0-9a-v]{12}$/);
  });

  test("is another one each time", () => {
    const ids = Array.from({ length: 10_000 }, () => createOperationId("training", nowMs));
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("is an id for every type, the longest included", () => {
    const longest = `t${"x".repeat(62)}`;
    expect(() => checkOperationId(createOperationId(longest, nowMs))).not.toThrow();
  });
});

describe("what cannot be an id", () => {
  test.each([
    "",
    "op_",
    "training",
    "op_Training_1",
    "op_a b",
    "op_a\n",
    "op_ä",
    `op_${"a".repeat(126)}`,
    "../op_a",
    "op_a%00",
  ])("%j is refused by name", (id) => {
    expect(() => checkOperationId(id)).toThrow(
      expect.objectContaining({
        reason: "INVALID_FIELD",
        message: expect.stringMatching(/^operation_id: ".* is not an operation id/s),
      }),
    );
  });
});

test("a quoted text is escaped and shortened", () => {
  expect(quote('a"b\n')).toBe('"a\\"b\\n"');
  expect(quote("x".repeat(1_000_000))).toHaveLength(82);
});
