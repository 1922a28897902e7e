import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import {
  BatchGetOperationsRequestSchema,
  CancelOperationRequestSchema,
  CancelOperationsRequestSchema,
  GetMetricsRequestSchema,
  GetOperationRequestSchema,
  ListOperationsRequestSchema,
  type OperationFilterSchema,
  OperationsService,
  RetryOperationRequestSchema,
  WaitOperationRequestSchema,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { CallError } from "../../src/operations/errors.ts";
import { checkRules, patternOf } from "../../src/operations/request-rules.ts";
import { everyFieldSet } from "../support/every-field-set.ts";

/** What is violated, as "field: description". */
function violationsOf<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>, parent = ""): string[] {
  try {
    checkRules(schema, create(schema, init), parent);
    return [];
  } catch (error) {
    const { reason, details } = error as CallError;
    expect(reason).toBe("INVALID_FIELD");
    return (details.violations ?? []).map(({ field, description }) => `${field}: ${description}`);
  }
}

const operationId = "op_training_20250120_093000_4k2m8x";
const cases: [string, string[], string[]][] = [
  [
    "an id of a megabyte",
    violationsOf(GetOperationRequestSchema, { operationId: "x".repeat(2 ** 20) }),
    [`operation_id: "${"x".repeat(77)}..." is not an operation id; they look like "${operationId}"`],
  ],
  [
    "an id of many",
    violationsOf(BatchGetOperationsRequestSchema, { operations: [{ operationId }, { operationId: "?" }] }),
    [`operations[1].operation_id: "?" is not an operation id; they look like "${operationId}"`],
  ],
  [
    "no ids",
    violationsOf(BatchGetOperationsRequestSchema, {}),
    ["operations: has 0 entries; must contain at least 1 item(s)"],
  ],
  [
    "a key of a megabyte",
    violationsOf(ListOperationsRequestSchema, { filter: { labels: { [`${"?".repeat(2 ** 20)}`]: "" } } }),
    [
      `filter.labels["${"?".repeat(182)}...: "${"?".repeat(77)}..." is not a label key; ` +
        '1 to 63 letters, digits and "_./-", a letter or digit first',
    ],
  ],
  [
    "statuses",
    violationsOf(ListOperationsRequestSchema, { filter: { statuses: [0, 1, 5, 6 as never] } }),
    [0, 3].map(
      (index) =>
        `filter.statuses[${index}]: ${index === 0 ? 0 : 6} is not a status; ` +
        "the statuses are PENDING, RUNNING, COMPLETED, FAILED and CANCELLED",
    ),
  ],
  [
    "types",
    violationsOf(ListOperationsRequestSchema, {
      filter: { operationTypes: ["", "Training", "1st", "a-b", "_a", "a".repeat(64), "é", "a".repeat(63)] },
    }).map((text) => text.slice(0, 25)),
    [0, 1, 2, 3, 4, 5, 6].map((index) => `filter.operation_types[${index}]`),
  ],
  [
    "a staleness below 0",
    violationsOf(GetOperationRequestSchema, { operationId, maxStaleness: durationFromMs(-1_000) }),
    ["max_staleness: -1 s is out of range; 0 s to 10 years are allowed"],
  ],
  [
    "a timeout beyond all time",
    violationsOf(WaitOperationRequestSchema, { operationId, timeout: { seconds: 2n ** 63n - 1n } }),
    ["timeout: 9223372036854775807 s is out of range; 0 s to 10 years are allowed"],
  ],
  [
    "a reason of blanks",
    violationsOf(CancelOperationRequestSchema, { operationId, reason: " \n" }),
    ['reason: " \\n" is empty; say why, for those who will wonder'],
  ],
  [
    "an overlong reason",
    violationsOf(CancelOperationRequestSchema, { operationId, reason: "x".repeat(1_025) }),
    ["reason: has 1025 characters; must be at most 1024 characters"],
  ],
  [
    "an overlong request_id",
    violationsOf(RetryOperationRequestSchema, { operationId, requestId: "x".repeat(129) }),
    ["request_id: has 129 characters; must be at most 128 characters"],
  ],
  [
    "no condition and no reason",
    violationsOf(CancelOperationsRequestSchema, { filter: {} }),
    [
      "filter: has no condition; to cancel everything, name the statuses PENDING and RUNNING",
      'reason: "" is empty; say why, for those who will wonder',
    ],
  ],
  ["no filter", violationsOf(CancelOperationsRequestSchema, { reason: "why" }), ["filter: is required"]],
  [
    "a cursor that no log can reach",
    violationsOf(GetMetricsRequestSchema, { operationId, cursor: 2n ** 53n }),
    ["cursor: 9007199254740992 must be less than or equal to 9007199254740991"],
  ],
];

test.each(cases)("%s", (_, violations, expected) => {
  expect(violations).toEqual(expected);
});

test("any one condition will do for cancelling many", () => {
  const filters: MessageInitShape<typeof OperationFilterSchema>[] = [
    { operationTypes: ["training"] },
    { statuses: [1] },
    { parentOperationId: operationId },
    { labels: { a: "" } },
    { createdAfter: {} },
    { createdBefore: {} },
  ];
  for (const filter of filters) {
    expect(violationsOf(CancelOperationsRequestSchema, { filter, reason: "why" })).toEqual([]);
  }
});

describe("the rules", () => {
  test.each(OperationsService.methods.map(({ input }) => input))(
    "of $name can be compiled and asked, each of them",
    (input) => {
      // Rules are asked only of what is set.
      expect(violationsOf(input, everyFieldSet(input))).not.toEqual([]);
    },
  );

  test("of ids are the same everywhere", () => {
    const required = OperationsService.methods
      .flatMap(({ input }) => input.fields)
      .filter(({ name, parent }) => name === "operation_id" && parent.name !== "CreateOperationRequest");
    expect(new Set(required.map(patternOf))).toEqual(new Set(["^op_[a-z0-9_]{1,125}$"]));
    expect(required).toHaveLength(6);
  });

  test("of a field without a pattern have none", () => {
    expect(() => patternOf(GetMetricsRequestSchema.field.cursor)).toThrow("has no pattern");
  });
});
