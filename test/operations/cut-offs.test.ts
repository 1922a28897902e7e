import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CutOffs } from "../../src/operations/cut-offs.ts";
import type { CancelDelivery } from "../../src/operations/operation-source.ts";
import type { OperationStore } from "../../src/operations/operation-store.ts";
import { operation } from "../store/store-fixture.ts";
import { ScriptedSource } from "../support/scripted-source.ts";

const attemptTimeoutMs = 1_000;
const stored = operation("op_a", { cancellation: { reason: "at once", forced: true } });

/** Duties over a store that only notes what is released. */
function cutOffs() {
  const released: string[] = [];
  let isAway = false;
  const store = {
    release: async (operationId: string, owner: string) => {
      if (isAway) {
        throw new Error("the store is away");
      }
      released.push(`${operationId} of ${owner}`);
    },
  } as unknown as OperationStore;
  const closed = new AbortController();
  const log = pino({ level: "silent" });
  const duties = new CutOffs({ store, log, attemptTimeoutMs, closed: closed.signal });
  const setAway = (away: boolean) => {
    isAway = away;
  };
  return { duties, released, closed, setAway };
}

/** A host whose answers to cancellations come one after the other; the last one for ever. */
function hostAnswering(...deliveries: CancelDelivery["outcome"][]) {
  const source = new ScriptedSource();
  const answers = deliveries.map((outcome) => ({ outcome, reason: "" }) as CancelDelivery);
  source.cancel = async (request) => {
    source.cancels.push(request);
    return answers.length > 1 ? (answers.shift() as CancelDelivery) : (answers[0] as CancelDelivery);
  };
  return source;
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("work that is to be cut off", () => {
  test("is told by force, with the reason, and then the duty is over", async () => {
    const { duties, released } = cutOffs();
    const source = hostAnswering("delivered");
    duties.begin(stored, source);
    expect(duties.has("op_a")).toBe(true);
    await pass(0);
    expect(source.cancels).toMatchObject([{ reason: "at once", force: true }]);
    expect(released).toEqual(["op_a of server-1"]);
    expect(duties.has("op_a")).toBe(false);
    expect(source.closed).toBe(1);
  });

  test("is told again, with longer and longer pauses, until its host has heard of it", async () => {
    const { duties, released } = cutOffs();
    const source = hostAnswering("unreachable", "unreachable", "unreachable", "delivered");
    duties.begin(stored, source);
    await pass(249);
    expect(source.cancels).toHaveLength(1);
    await pass(1);
    expect(source.cancels).toHaveLength(2);
    await pass(500);
    expect(source.cancels).toHaveLength(3);
    expect(released).toEqual([]);
    await pass(1_000);
    expect(released).toEqual(["op_a of server-1"]);
  });

  test("is not believed to be unknown at once: the host may be about to begin it", async () => {
    const { duties, released } = cutOffs();
    const source = hostAnswering("gone");
    duties.begin(stored, source);
    await pass(2 * attemptTimeoutMs - 500);
    expect(source.cancels.length).toBeGreaterThan(1);
    expect(released).toEqual([]);
    await pass(attemptTimeoutMs * 4);
    expect(released).toEqual(["op_a of server-1"]);
  });

  test("that there is none of is over at once", async () => {
    const { duties, released } = cutOffs();
    duties.begin(stored, undefined);
    await pass(0);
    expect(released).toEqual(["op_a of server-1"]);
  });

  test("is remembered until that it is done can be stored", async () => {
    const { duties, released, setAway } = cutOffs();
    setAway(true);
    const source = hostAnswering("delivered");
    duties.begin(stored, source);
    await pass(60_000);
    expect(duties.has("op_a")).toBe(true);
    setAway(false);
    await pass(60_000);
    expect(released).toEqual(["op_a of server-1"]);
    expect(source.cancels).toHaveLength(1);
  });

  test("is told once, however often it is asked for", async () => {
    const { duties, released } = cutOffs();
    const [first, second] = [hostAnswering("delivered"), hostAnswering("delivered")];
    duties.begin(stored, first);
    duties.begin(stored, second);
    await pass(0);
    expect(first.cancels).toHaveLength(1);
    expect(second.cancels).toHaveLength(0);
    expect(second.closed).toBe(1);
    expect(released).toHaveLength(1);
  });

  test.each(["given up", "closed"])("is left to others once it is %s", async (how) => {
    const { duties, released, closed } = cutOffs();
    const source = hostAnswering("unreachable", "delivered");
    duties.begin(stored, source);
    await pass(0);
    if (how === "closed") {
      closed.abort();
    } else {
      duties.abandon();
    }
    await pass(60_000);
    expect(source.cancels).toHaveLength(1);
    expect(released).toEqual([]);
    expect(source.closed).toBe(1);
  });
});
