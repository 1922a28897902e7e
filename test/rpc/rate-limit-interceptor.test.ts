import { Code, createContextValues, type UnaryRequest, type UnaryResponse } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { CallError } from "../../src/operations/errors.ts";
import { callerKey } from "../../src/rpc/caller.ts";
import { peerKey } from "../../src/rpc/peer-key.ts";
import { createRateLimitInterceptor } from "../../src/rpc/rate-limit-interceptor.ts";

/** Makes calls, and answers how many of them got through before the first one was refused. */
function limited(perSecond: number, burst: number) {
  const answered = {} as UnaryResponse;
  const next = createRateLimitInterceptor({ perSecond, burst })(async () => answered);
  return async (name: string, address: string, calls: number) => {
    const contextValues = createContextValues().set(callerKey, { name }).set(peerKey, { address });
    for (let call = 0; call < calls; call++) {
      try {
        await next({ contextValues } as UnaryRequest);
      } catch (error) {
        expect(error).toBeInstanceOf(CallError);
        const { reason, code, details } = error as CallError;
        expect([reason, code]).toEqual(["RATE_LIMITED", Code.ResourceExhausted]);
        expect(details.retryAfterMs).toBeGreaterThan(0);
        expect(details.retryAfterMs).toBeLessThanOrEqual(1_000 / perSecond);
        return call;
      }
    }
    return calls;
  };
}

test("a caller may make so many calls at once, whatever others do", async () => {
  const call = limited(0.1, 5);
  expect(await call("ada", "10.0.0.1", 9)).toBe(5);
  expect(await call("ada", "10.0.0.2", 9)).toBe(0);
  expect(await call("bob", "10.0.0.1", 9)).toBe(5);
});

test("those that nobody asks who they are are told apart by address, of IPv6 by network", async () => {
  const call = limited(0.1, 5);
  expect(await call("anonymous", "10.0.0.1", 9)).toBe(5);
  expect(await call("anonymous", "10.0.0.2", 9)).toBe(5);
  expect(await call("anonymous", "::ffff:10.0.0.3", 9)).toBe(5);
  expect(await call("anonymous", "::ffff:10.0.0.4", 9)).toBe(5);
  expect(await call("anonymous", "2001:db8::1", 9)).toBe(5);
  expect(await call("anonymous", "2001:db8:0:0:ffff::2", 9)).toBe(0);
  expect(await call("anonymous", "2001:db8:0:1::1", 9)).toBe(5);
});
