import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { type OperationInfo, OperationInfoSchema, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { nextSnapshot, staleSnapshot } from "../../src/operations/operation-snapshot.ts";
import { PollAdvice } from "../../src/operations/poll-advice.ts";
import type { PulledOperation } from "../../src/operations/pulled-operation.ts";
import { revisionAt } from "../../src/operations/revision.ts";
import { randomFrom } from "../support/random.ts";

const { PENDING, RUNNING } = OperationStatus;
const beginsMs = Date.UTC(2026, 0, 20, 9, 30);

/** Advice about an operation that changes when the test says so, without anything random unless it is given. */
function advised({ cacheTtlMs = 1_000, random = (): number => 0, load = 0, costMs = 0 } = {}) {
  const state = { nowMs: beginsMs, load, costMs };
  let info: OperationInfo = create(OperationInfoSchema, { status: RUNNING, revision: revisionAt(beginsMs) });
  const operation = {
    get info() {
      return info;
    },
  } as PulledOperation;
  const advice = new PollAdvice(
    operation,
    {
      get costMs() {
        return state.costMs;
      },
    },
    { cacheTtlMs, random, now: () => state.nowMs, load: () => state.load },
  );
  return {
    state,
    advice,
    change: (changes: MessageInitShape<typeof OperationInfoSchema> = {}) => {
      info = nextSnapshot(info, changes as Partial<OperationInfo>, state.nowMs);
    },
    becomeStale: (reason: string) => {
      info = staleSnapshot(info, reason, state.nowMs);
    },
    becomeFresh: () => {
      const { freshness: _, ...fresh } = info;
      info = nextSnapshot(fresh, {}, state.nowMs);
    },
    nextMs: () => durationMs(advice.next),
    /** Polls as advised for a while; the operation changes every so often, as a poll finds out. */
    poll: (forMs: number, changesEveryMs = Number.POSITIVE_INFINITY) => {
      const untilMs = state.nowMs + forMs;
      const pauses: number[] = [];
      let changedAtMs = state.nowMs;
      while (state.nowMs < untilMs) {
        if (state.nowMs - changedAtMs >= changesEveryMs) {
          changedAtMs += Math.floor((state.nowMs - changedAtMs) / changesEveryMs) * changesEveryMs;
          info = nextSnapshot(info, {}, state.nowMs);
        }
        const pauseMs = durationMs(advice.next);
        pauses.push(pauseMs);
        state.nowMs += pauseMs;
      }
      return pauses;
    },
  };
}

describe("advice when to poll", () => {
  test.each([
    [0, 250],
    [1_000, 1_000],
    [30_000, 30_000],
  ])("begins with the cache TTL or 250 ms: a TTL of %d ms makes %d ms", (cacheTtlMs, expected) => {
    expect(advised({ cacheTtlMs }).nextMs()).toBe(expected);
  });

  test.each([
    ["every 200 ms: the shortest", 200, 1_000],
    ["every 4 s: half of it", 4_000, 2_000],
    ["every minute: the longest", 60_000, 8_000],
  ])("comes to what suits an operation that changes %s", (_, everyMs, expected) => {
    const pauses = advised().poll(600_000, everyMs).slice(-50);
    const meanMs = pauses.reduce((sum, pauseMs) => sum + pauseMs) / pauses.length;
    expect(meanMs).toBeGreaterThan(expected * 0.7);
    expect(meanMs).toBeLessThan(expected * 1.3);
  });

  test("grows while nothing happens, also while it is PENDING", () => {
    const { change, poll } = advised();
    change({ status: PENDING });
    const pauses = poll(60_000);
    expect(pauses.slice(0, 3)).toEqual([1_000, 1_000, 1_000]);
    expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
    expect(pauses.at(-1)).toBe(8_000);
  });

  test("comes down by itself when a quiet operation begins to change often", () => {
    const { poll } = advised();
    poll(600_000, 60_000);
    expect(poll(120_000, 200).slice(-10)).toEqual(Array.from({ length: 10 }, () => 1_000));
  });

  test("begins anew with a status, an attempt and a request to cancel", () => {
    const { state, change, poll, nextMs } = advised();
    const anew = [{ status: PENDING }, { status: RUNNING }, { attempt: 2 }, { cancellation: { reason: "enough" } }];
    for (const changes of anew) {
      poll(300_000, 60_000);
      expect(nextMs()).toBe(8_000);
      change(changes);
      expect(nextMs()).toBe(1_000);
      state.nowMs += 3_000;
      expect(nextMs()).toBe(1_500);
    }
  });

  test("is put off the longer a host is away, whatever it says, and comes soon again once it answers", () => {
    const { state, poll, becomeStale, becomeFresh, nextMs } = advised();
    poll(60_000, 200);
    const pauses: number[] = [];
    for (let attempt = 0; attempt < 12; attempt++) {
      becomeStale(`refused, attempt ${attempt}`);
      pauses.push(nextMs());
      state.nowMs += nextMs();
    }
    expect(pauses[0]).toBe(1_000);
    expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
    expect(pauses.at(-1)).toBe(8_000);
    becomeFresh();
    expect(nextMs()).toBe(1_000);
  });

  test("is at least twice what a refresh takes", () => {
    expect(advised({ cacheTtlMs: 0, costMs: 800 }).nextMs()).toBe(1_600);
    expect(advised({ cacheTtlMs: 0, costMs: 60_000 }).nextMs()).toBe(8_000);
  });

  test.each([
    [0, 1],
    [0.7, 1],
    [0.85, 2.5],
    [1, 4],
  ])("is stretched under load: a utilisation of %d, %d times", (load, times) => {
    const { nextMs, advice } = advised({ load });
    expect(nextMs()).toBe(1_000 * times);
    expect(durationMs(advice.afterWait)).toBe(250 * times);
  });

  test("after a wait is the shortest, however seldom the operation changes", () => {
    const { poll, advice } = advised();
    poll(300_000, 60_000);
    expect(durationMs(advice.afterWait)).toBe(250);
  });

  test("is the same object for those who come at once, and another one for the next", () => {
    const { state, advice } = advised({ random: randomFrom(7) });
    const { next } = advice;
    state.nowMs += 49;
    expect(advice.next).toBe(next);
    state.nowMs += 1;
    expect(durationMs(advice.next)).not.toBe(durationMs(next));
  });

  test("is never below its shortest nor above its longest, whatever is random and whatever happens", () => {
    const random = randomFrom(3);
    const { state, poll } = advised({ cacheTtlMs: 0, random });
    const pauses: number[] = [];
    for (let round = 0; round < 200; round++) {
      state.load = random();
      state.costMs = 5_000 * random() ** 4;
      pauses.push(...poll(20_000, 60_000 * random() ** 4));
    }
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(250);
    expect(Math.min(...pauses)).toBeLessThan(260);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(10_000);
    expect(Math.max(...pauses)).toBeGreaterThan(9_000);
  });

  test("is made when the clock has been set back, too", () => {
    const { state, nextMs } = advised();
    state.nowMs += 60_000;
    expect(nextMs()).toBe(8_000);
    state.nowMs -= 60_000;
    expect(nextMs()).toBe(1_000);
  });
});
