import { readFileSync } from "node:fs";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OperationInfoSchema, OperationStatus } from "../../../gen/longhaul/v1/operation_pb.ts";
import { OperationFilterSchema } from "../../../gen/longhaul/v1/operations_service_pb.ts";
import { CallError } from "../../../src/operations/errors.ts";
import { foldCondition } from "../../../src/operations/fold-condition.ts";
import { conditionHolds } from "../../../src/operations/operation-condition.ts";
import { conditionFromFilter } from "../../../src/rpc/longrunning/compile-filter.ts";

const { PENDING, RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;

const at = (text: string) => timestampFromDate(new Date(text));
const created = at("2026-01-20T09:30:00.250Z");
const ended = at("2026-01-20T11:00:00Z");

/** Operations by a letter. */
const operations: Record<string, MessageInitShape<typeof OperationInfoSchema>> = {
  a: { operationType: "training", status: RUNNING, labels: { team: "ml", stage: "prod" } },
  b: {
    operationType: "data_load",
    status: COMPLETED,
    completedAt: ended,
    labels: { team: "ML", "app.io/name": "x*y" },
  },
  c: { operationType: "training", status: FAILED, completedAt: ended, parentOperationId: "op_a", labels: { team: "" } },
  d: {
    operationType: "training_2",
    status: PENDING,
    createdAt: at("2026-01-21T00:00:00Z"),
    labels: { version: "1.5" },
  },
  e: { operationType: "tuning", status: CANCELLED, completedAt: at("2026-01-22T00:00:00Z"), parentOperationId: "op_b" },
};

/** The letters of the operations that a filter matches. */
function matching(filter: string): string {
  const condition = conditionFromFilter(filter);
  return Object.entries(operations)
    .map(([letter, init]) => create(OperationInfoSchema, { createdAt: created, ...init, operationId: `op_${letter}` }))
    .filter((info) => condition === undefined || conditionHolds(condition, info))
    .map(({ operationId }) => operationId.slice(3))
    .join("");
}

describe("a filter matches by", () => {
  test.each([
    ["", "abcde"],
    // status and done
    ["status = RUNNING", "a"],
    ['status = "OPERATION_STATUS_RUNNING"', "a"],
    ["status:RUNNING", "a"],
    ["status != RUNNING", "bcde"],
    ["status = RUNNING OR status = FAILED", "ac"],
    ["status = (RUNNING OR FAILED)", "ac"],
    ["status != (RUNNING OR FAILED)", "bde"],
    ["NOT status = RUNNING", "bcde"],
    ["-status:RUNNING", "bcde"],
    ["status:*", "abcde"],
    ["done = true", "bce"],
    ["done != true", "ad"],
    ['done:"false"', "ad"],
    // type
    ["operation_type = training", "ac"],
    ['type = "train*"', "acd"],
    ["type = *ing", "ace"],
    ["type = *a*", "abcd"],
    ['type = "train\\*"', ""],
    ["type:training", "ac"],
    ["type > data_load", "acde"],
    ["type <= training", "abc"],
    // id and name
    ["operation_id = op_a", "a"],
    ['name = "operations/op_a"', "a"],
    ["name = operations/op_*", "abcde"],
    ['name = "*_b"', "b"],
    ['name > "operations/op_c"', "de"],
    // parent
    ["parent_operation_id = op_a", "c"],
    ["parent_operation_id != op_a", "abde"],
    ["parent_operation_id:*", "ce"],
    ['parent_operation_id = ""', "abd"],
    ['parent_operation_id != ""', "ce"],
    // labels
    ['labels.team = "ml"', "a"],
    ['labels.team != "ml"', "bcde"],
    ['labels.team = ""', "c"],
    ["labels:team", "abc"],
    ["labels.team:*", "abc"],
    ["-labels:team", "de"],
    ['labels."team":ml', "a"],
    ["labels:(team AND stage)", "a"],
    ["labels.app.io/name:*", "b"],
    ['labels."app.io/name" = "x\\*y"', "b"],
    ['labels:"app.io/name"', "b"],
    ["labels.team = m*", "a"],
    ["labels.version = 1.5", "d"],
    ["labels.version > 1.4", "d"],
    ["labels.none != x", "abcde"],
    // times
    ['create_time = "2026-01-20T09:30:00.25Z"', "abce"],
    ['created_at < "2026-01-20T09:30:00.251Z"', "abce"],
    ['create_time > "2026-01-20T09:30:00.250Z"', "d"],
    ['create_time >= "2026-01-20T10:30:00.250+01:00"', "abcde"],
    ['create_time >= "2026-01-20T04:30:00.251-05:00"', "d"],
    ["end_time:*", "bce"],
    ["-end_time:*", "ad"],
    ['completed_at <= "2026-01-20t11:00:00z"', "bc"],
    ['end_time != "2026-01-20T11:00:00Z"', "ade"],
    ['NOT end_time > "2026-01-20T11:00:00Z"', "abcd"],
    // as metadata of google.longrunning
    ["metadata.status = RUNNING AND metadata.labels.team = ml", "a"],
    // together
    ["type = training done = true", "c"],
    ["type = training AND status = RUNNING OR status = FAILED", "ac"],
    ["(type = training AND status = RUNNING) OR status = COMPLETED", "ab"],
  ])("%s", (filter, letters) => {
    expect(matching(filter)).toBe(letters);
  });
});

describe("a filter is refused for", () => {
  test.each([
    ["training", 1, /^"training" is compared with nothing, .*; the fields are status, done, .* and labels\.\{key\}$/],
    ["done", 1, /^"done" is compared with nothing/],
    ["priority = 3", 1, /^there is no field "priority"; the fields are status, .*$/],
    ["status = RUNNING OR started_at:*", 21, /^there is no field "started_at"/],
    ["metadata.symbol = AAPL", 10, /^there is no field "symbol"/],
    ["type.name = x", 1, /^there is no field "type.name"/],
    [
      "status = running",
      10,
      /^"running" is not a status; the statuses are PENDING, RUNNING, COMPLETED, FAILED, CANCELLED$/,
    ],
    ["status = UNSPECIFIED", 10, /is not a status/],
    ["status = RUN*", 10, /is not a status/],
    ["status > RUNNING", 8, /^status has no order; =, != and : are allowed$/],
    ["done = yes", 8, /^done is true or false, not "yes"$/],
    ["done < true", 6, /^done has no order/],
    [
      'create_time > "yesterday"',
      15,
      /^"yesterday" is not a time; times are in quotes and in RFC 3339, such as "2026-/,
    ],
    ['create_time > "2026-02-30T00:00:00Z"', 15, /is not a time/],
    ['create_time > "2026-01-20"', 15, /is not a time/],
    [
      "create_time > 2026-01-20T09:30:00Z",
      28,
      /^expected white space, AND or OR, found ":"; put texts that have one in quotes$/,
    ],
    ["labels = team", 8, /^labels are compared one by one, as in labels\.team = "ml", or labels:team$/],
    ["labels:-team", 8, /^"-team" is not a label key; 1 to 63 letters/],
    ['labels."" = x', 8, /^"" is not a label key/],
    ["labels.__proto__ = x", 8, /is not a label key/],
    ["labels:*", 8, /is not a label key/],
    ["type = a*b", 8, /^in "a\*b" a "\*" is neither at the start nor at the end; write \\\* for the character$/],
    ["name = op_a", 8, /^"op_a" is not a name; they look like "operations\/op_training_…"$/],
    ['type = a."b"', 10, /^a value is one text; put all of it in quotes$/],
    ["type = (a OR b = c)", 16, /^only values may be compared with, put together by AND, OR and NOT$/],
  ])("%s", (filter, character, description) => {
    const violation = { field: "filter", description: expect.stringMatching(/^at character \d+: /) };
    try {
      conditionFromFilter(filter);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ reason: "INVALID_FIELD", details: { violations: [violation] } });
      const [, position, text] = /^filter: at character (\d+): (.*)$/.exec((error as Error).message) ?? [];
      expect(Number(position)).toBe(character);
      expect(text).toMatch(description);
    }
  });
});

test("what an OperationFilter can say is found by its indexes", () => {
  const filter = 'type = (training OR tuning) -status:RUNNING labels.team = "ml" create_time < "2026-01-20T00:00:00Z"';
  const { filter: folded, rest } = foldCondition(create(OperationFilterSchema), conditionFromFilter(filter));
  expect(rest).toBeUndefined();
  expect(folded).toMatchObject({
    operationTypes: ["training", "tuning"],
    statuses: [PENDING, COMPLETED, FAILED, CANCELLED],
    labels: { team: "ml" },
    createdBefore: at("2026-01-20T00:00:00Z"),
  });
});

test("the README tells of every field", () => {
  const names: string[] = [];
  try {
    conditionFromFilter("x");
  } catch (error) {
    names.push(...(/the fields are (.*) and labels/.exec(String(error))?.[1]?.split(", ") ?? []));
  }
  expect(names.length).toBeGreaterThan(5);
  const readme = readFileSync(join(import.meta.dirname, "../../../README.md"), "utf8");
  expect(names.filter((name) => !readme.includes(`\`${name}\``))).toEqual([]);
});

const pieces = fc.constantFrom(
  ..."status|done|operation_type|type|name|labels|labels.team|metadata.|create_time|end_time|parent_operation_id".split(
    "|",
  ),
  ...'=|!=|<|:|(|)| |.|*|"|-| AND | OR |NOT |RUNNING|true|operations/|op_a|"2026-01-20T09:30:00Z"|"x*"'.split("|"),
);

test("any filter is compiled or refused, and never ends otherwise", () => {
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 30 }), (parts) => {
      try {
        conditionFromFilter(parts.join(""));
      } catch (error) {
        expect(error).toBeInstanceOf(CallError);
        expect(error).toMatchObject({ reason: "INVALID_FIELD", details: { violations: [{ field: "filter" }] } });
      }
    }),
    { numRuns: 3_000 },
  );
});
