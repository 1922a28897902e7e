import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type OperationFilter, OperationFilterSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { OperationCondition } from "../../src/operations/operation-condition.ts";
import { decodePageToken, encodePageToken } from "../../src/operations/page-token.ts";

type Conditions = Exclude<MessageInitShape<typeof OperationFilterSchema>, OperationFilter>;

const filter = (init: MessageInitShape<typeof OperationFilterSchema> = {}) => create(OperationFilterSchema, init);
const key = { createdAtMs: 1_795_484_259_405, operationId: "op_training_20261124_013739_09tcvfo9sfrm" };

test("a token leads back to its position, and needs no escaping in a URL", () => {
  const token = encodePageToken(key, filter({ operationTypes: ["training"] }));
  expect(token).toMatch(/^[A-Za-z0-9_-]+$/);
  expect(decodePageToken(token, filter({ operationTypes: ["training"] }))).toEqual(key);
});

test("the order of labels does not matter", () => {
  const token = encodePageToken(key, filter({ labels: { a: "1", b: "2" } }));
  expect(decodePageToken(token, filter({ labels: { b: "2", a: "1" } }))).toEqual(key);
});

describe("another filter is refused:", () => {
  const base: Conditions = {
    operationTypes: ["training"],
    statuses: [2],
    parentOperationId: "op_p",
    labels: { a: "1" },
    createdAfter: timestampFromMs(1_000),
    createdBefore: timestampFromMs(2_000),
  };
  test.each<[string, Conditions]>([
    ["types", { operationTypes: ["data_load"] }],
    ["statuses", { statuses: [3] }],
    ["parent", { parentOperationId: "op_q" }],
    ["labels", { labels: { a: "2" } }],
    ["created_after", { createdAfter: timestampFromMs(1_001) }],
    ["created_before", { createdBefore: timestampFromMs(2_001) }],
  ])("%s", (_, change) => {
    const token = encodePageToken(key, filter(base));
    expect(() => decodePageToken(token, filter({ ...base, ...change }))).toThrow(/another filter/);
  });
});

test("another condition, or none, is refused", () => {
  const team = (value: string): OperationCondition => ({ kind: "text", field: { label: "team" }, oneOf: [value] });
  const token = encodePageToken(key, filter(), team("ml"));
  expect(decodePageToken(token, filter(), team("ml"))).toEqual(key);
  expect(() => decodePageToken(token, filter(), team("data"))).toThrow(/another filter/);
  expect(() => decodePageToken(token, filter())).toThrow(/another filter/);
  expect(() => decodePageToken(encodePageToken(key, filter()), filter(), team("ml"))).toThrow(/another filter/);
});

test("any other text is refused as none of this service, and never as anything else", () => {
  const refused = expect.objectContaining({ reason: "INVALID_PAGE_TOKEN" });
  for (const token of [
    "x",
    "null",
    "e30",
    Buffer.from('["a","b","c"]').toString("base64url"),
    "\0",
    "a".repeat(100_000),
  ]) {
    expect(() => decodePageToken(token, filter())).toThrow(refused);
  }
  const json = fc.json().map((text) => Buffer.from(text).toString("base64url"));
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.base64String(), json), (token) => {
      expect(() => decodePageToken(token, filter())).toThrow(refused);
    }),
  );
});
