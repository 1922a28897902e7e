import { expect, test } from "vitest";
import { readOrigin } from "../../src/rpc/read-origin.ts";

const origin = (via?: string) =>
  readOrigin(new Headers(via === undefined ? undefined : { "longhaul-via": via }), "me", 3);

test("a call from outside has passed nobody", () => {
  expect(origin()).toMatchObject({ via: [] });
  expect(origin("")).toMatchObject({ via: [] });
});

test("a call that was passed on says by whom, the first one first", () => {
  expect(origin("a,b").via).toEqual(["a", "b"]);
});

test("a call that comes round again is refused", () => {
  expect(() => origin("a,me,b")).toThrow(expect.objectContaining({ reason: "ROUTING_LOOP" }));
});

test("a call is refused beyond the allowed number of hops, and not at it", () => {
  expect(origin("a,b,c").via).toHaveLength(3);
  expect(() => origin("a,b,c,d")).toThrow(
    expect.objectContaining({
      reason: "TOO_MANY_HOPS",
      message: "the call has passed 4 servers; at most 3 are allowed",
    }),
  );
});
