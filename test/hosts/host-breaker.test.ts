import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { HostAnswer } from "../../src/hosts/host-answer.ts";
import { createHostBreaker } from "../../src/hosts/host-breaker.ts";

const url = "http://host.test:1";
const silence: HostAnswer<string> = { outcome: "unreachable", reason: "no answer", isSilent: true };
const trouble: HostAnswer<string> = { outcome: "unreachable", reason: "the disk is full", isSilent: false };
const answer: HostAnswer<string> = { outcome: "answered", value: "yes" };

/** A breaker and how often its host was called. */
function breaker() {
  const guarded = createHostBreaker(url, { firstMs: 1_000, maximumMs: 8_000 });
  let calls = 0;
  const run = (result: HostAnswer<string>) =>
    guarded.run(async () => {
      calls += 1;
      return result;
    });
  const silenced = async () => {
    for (let call = 0; call < 5; call++) {
      await run(silence);
    }
  };
  return { guarded, run, silenced, calls: () => calls };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a host", () => {
  test("that leaves some calls unanswered is called on", async () => {
    const { run, calls, guarded } = breaker();
    for (let round = 0; round < 5; round++) {
      for (let call = 0; call < 4; call++) {
        await run(silence);
      }
      expect(await run(answer)).toEqual(answer);
    }
    expect(calls()).toBe(25);
    expect(guarded.isClosed).toBe(true);
  });

  test("that answers with trouble of its own is called on", async () => {
    const { run, calls } = breaker();
    for (let call = 0; call < 20; call++) {
      expect(await run(trouble)).toEqual(trouble);
    }
    expect(calls()).toBe(20);
  });

  test("that leaves five calls in a row unanswered is left alone, in the words of its last silence", async () => {
    const { run, silenced, calls, guarded } = breaker();
    await silenced();
    expect(guarded.isClosed).toBe(false);
    for (let call = 0; call < 100; call++) {
      expect(await run(answer)).toEqual(silence);
    }
    expect(calls()).toBe(5);
  });

  test("is tried by one call at a time after a while, longer each time, and back after the first answer", async () => {
    const { run, silenced, calls, guarded } = breaker();
    await silenced();
    const pauses: number[] = [];
    for (let attempt = 0; attempt < 6; attempt++) {
      let waitedMs = 0;
      while (calls() === 5 + attempt) {
        vi.setSystemTime(Date.now() + 100);
        waitedMs += 100;
        await Promise.all([run(silence), run(silence), run(silence)]);
      }
      expect(calls()).toBe(6 + attempt);
      pauses.push(waitedMs);
    }
    expect(Math.max(...pauses)).toBeGreaterThan(2_000);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(8_100);
    vi.setSystemTime(Date.now() + 8_100);
    expect(await run(answer)).toEqual(answer);
    expect(guarded.isClosed).toBe(true);
    expect(await run(answer)).toEqual(answer);
  });

  test("whose call throws has thrown", async () => {
    const { guarded } = breaker();
    await expect(guarded.run(() => Promise.reject(new TypeError("a mistake")))).rejects.toThrow("a mistake");
    expect(guarded.isClosed).toBe(true);
  });
});
