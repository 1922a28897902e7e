import { ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { describe, expect, test } from "vitest";
import { traceContextFrom, traceHeaders, unrecordedSpan } from "../../src/tracing/trace-context.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const spanId = "b7ad6b7169203331";
const read = (traceparent: string, tracestate = "") =>
  traceContextFrom(new Headers({ traceparent, ...(tracestate && { tracestate }) }));

describe("a trace context", () => {
  test.each([
    ["sampled", `00-${traceId}-${spanId}-01`],
    ["not sampled", `00-${traceId}-${spanId}-00`],
    ["with a random id", `00-${traceId}-${spanId}-03`],
  ])("that is %s goes on as it came", (_, traceparent) => {
    expect(traceHeaders(read(traceparent, "a=1,b=2"))).toEqual({ traceparent, tracestate: "a=1,b=2" });
  });

  test("of a later version is read as far as it is known", () => {
    const context = read(`cc-${traceId}-${spanId}-ff-more`);
    expect(traceHeaders(context)).toEqual({ traceparent: `00-${traceId}-${spanId}-03` });
  });

  test.each([
    "",
    "nonsense",
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${"0".repeat(32)}-${spanId}-01`,
    `00-${traceId}-${"0".repeat(16)}-01`,
    `00-${traceId}-${spanId}`,
  ])("that is malformed counts as none: %j", (traceparent) => {
    expect(read(traceparent)).toBe(ROOT_CONTEXT);
    expect(traceHeaders(read(traceparent))).toEqual({});
  });
});

describe("the id of a call that came with no trace", () => {
  test("is made up, and goes on in a header that decides nothing about sampling", () => {
    const span = unrecordedSpan(new Headers());
    const { traceId: id } = span.spanContext();
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(traceHeaders(trace.setSpan(ROOT_CONTEXT, span))).toEqual({ "longhaul-trace-id": id });
    expect(unrecordedSpan(new Headers()).spanContext().traceId).not.toBe(id);
  });

  test("is the one that another server has made up, unless that is malformed", () => {
    expect(unrecordedSpan(new Headers({ "longhaul-trace-id": traceId })).spanContext().traceId).toBe(traceId);
    const { traceId: ownId } = unrecordedSpan(new Headers({ "longhaul-trace-id": "not an id" })).spanContext();
    expect(ownId).toMatch(/^[0-9a-f]{32}$/);
  });
});
