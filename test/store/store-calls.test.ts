import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { StoreCalls, type Trouble } from "../../src/store/store-calls.ts";

const probeIntervalMs = 250;
const fullDisk: Trouble = { reason: "the disk is full", readable: true };
const away: Trouble = { reason: "the database cannot be reached", readable: false };

/** An error that means trouble. */
class TroubleError extends Error {
  readonly trouble: Trouble;

  constructor(trouble: Trouble) {
    super("in the database's own words");
    this.trouble = trouble;
  }
}

/** Calls to a database whose probes a test answers one by one. */
function callsToScriptedDatabase() {
  const told: (string | undefined)[] = [];
  const probes: PromiseWithResolvers<void>[] = [];
  const calls = new StoreCalls({
    troubleOf: (error) => (error instanceof TroubleError ? error.trouble : undefined),
    isFault: (error) => error instanceof TypeError,
    probe: () => {
      const probe = Promise.withResolvers<void>();
      probes.push(probe);
      return probe.promise;
    },
    onTrouble: (reason) => told.push(reason),
  });
  const fail = (trouble: Trouble) => calls.write(() => Promise.reject(new TroubleError(trouble))).catch(() => {});
  return { calls, told, probes, fail };
}

/** Lets the next probe begin. */
function probeBegins(): Promise<unknown> {
  return vi.advanceTimersByTimeAsync(probeIntervalMs);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("calls to a database", () => {
  test("answer what it answers", async () => {
    const { calls } = callsToScriptedDatabase();
    expect(await calls.read(async () => 1)).toBe(1);
    expect(await calls.write(async () => 2)).toBe(2);
    expect(calls.trouble).toBeUndefined();
  });

  test("fail one by one when that means nothing for others", async () => {
    const { calls, told, probes } = callsToScriptedDatabase();
    const cause = new Error("in the database's own words");
    await expect(calls.write(() => Promise.reject(cause))).rejects.toMatchObject({
      reason: "STORE_UNAVAILABLE",
      message: "the store could not be read or written",
      cause,
      retryAfterMs: 1_000,
    });
    expect(calls.trouble).toBeUndefined();
    expect(await calls.write(async () => 1)).toBe(1);
    await probeBegins();
    expect({ told, probes }).toEqual({ told: [], probes: [] });
  });
});

test("a fault is thrown as it is: trying again would not mend it", async () => {
  const { calls } = callsToScriptedDatabase();
  const fault = new TypeError("a row that cannot be read");
  await expect(calls.read(() => Promise.reject(fault))).rejects.toBe(fault);
  expect(calls.trouble).toBeUndefined();
});

describe("a database in trouble", () => {
  test("says why to the call that met it, and refuses the next at once", async () => {
    const { calls } = callsToScriptedDatabase();
    await expect(calls.write(() => Promise.reject(new TroubleError(fullDisk)))).rejects.toMatchObject({
      reason: "STORE_UNAVAILABLE",
      message: "the store cannot be used: the disk is full",
      cause: { message: "in the database's own words" },
      retryAfterMs: 1_000,
    });
    expect(calls.trouble).toEqual(fullDisk);
    const next = vi.fn(async () => 1);
    await expect(calls.write(next)).rejects.toMatchObject({
      reason: "STORE_UNAVAILABLE",
      message: "the store cannot be used: the disk is full",
      retryAfterMs: 1_000,
    });
    expect(next).not.toHaveBeenCalled();
  });

  test("is read on while it can be read, and not otherwise", async () => {
    const { calls, fail } = callsToScriptedDatabase();
    await fail(fullDisk);
    expect(await calls.read(async () => 1)).toBe(1);
    await calls.read(() => Promise.reject(new TroubleError(away))).catch(() => {});
    const next = vi.fn(async () => 1);
    await expect(calls.read(next)).rejects.toMatchObject({ message: `the store cannot be used: ${away.reason}` });
    expect(next).not.toHaveBeenCalled();
  });

  test("is tried by one probe at a time, and not without a pause", async () => {
    const { probes, fail } = callsToScriptedDatabase();
    await Promise.all([fail(away), fail(away), fail(fullDisk)]);
    expect(probes).toHaveLength(0);
    // The first one at once.
    await vi.advanceTimersByTimeAsync(0);
    expect(probes).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(probes).toHaveLength(1);

    probes[0]?.reject(new TroubleError(away));
    await vi.advanceTimersByTimeAsync(probeIntervalMs - 1);
    expect(probes).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(probes).toHaveLength(2);
  });

  test("is out of it when a probe succeeds", async () => {
    const { calls, told, probes, fail } = callsToScriptedDatabase();
    await fail(away);
    await probeBegins();
    expect(calls.trouble).toEqual(away);
    probes[0]?.resolve();
    await setImmediate();
    expect(calls.trouble).toBeUndefined();
    expect(await calls.write(async () => 1)).toBe(1);
    expect(told).toEqual([away.reason, undefined]);

    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(probes).toHaveLength(1);
    await fail(away);
    await probeBegins();
    expect(probes).toHaveLength(2);
    expect(told).toEqual([away.reason, undefined, away.reason]);
  });

  test("is told once, however many calls and probes meet it, and again when it is another", async () => {
    const { told, probes, fail } = callsToScriptedDatabase();
    await Promise.all([fail(away), fail(away)]);
    for (const probe of [0, 1]) {
      await probeBegins();
      probes[probe]?.reject(new TroubleError(away));
    }
    await probeBegins();
    expect(told).toEqual([away.reason]);
    probes[2]?.reject(new TroubleError(fullDisk));
    await probeBegins();
    expect(told).toEqual([away.reason, fullDisk.reason]);
    probes[3]?.resolve();
    await setImmediate();
    expect(told).toEqual([away.reason, fullDisk.reason, undefined]);
  });

  test("stays in it when a probe fails as single calls do, and tells callers nothing of that", async () => {
    const { calls, probes, fail } = callsToScriptedDatabase();
    await fail(away);
    await probeBegins();
    probes[0]?.reject(new Error("password authentication failed for db-1.internal"));
    await setImmediate();
    expect(calls.trouble).toEqual({ reason: "a trial write has failed", readable: true });
    await probeBegins();
    expect(probes).toHaveLength(2);
  });
});

describe("closing", () => {
  test("waits for calls and probes that are under way, and refuses the next", async () => {
    const { calls, probes, fail } = callsToScriptedDatabase();
    const reading = Promise.withResolvers<number>();
    const read = calls.read(() => reading.promise);
    await fail(fullDisk);
    await probeBegins();
    let closed = false;
    const closing = calls.close().then(() => {
      closed = true;
    });
    await expect(calls.read(async () => 1)).rejects.toMatchObject({
      reason: "STORE_UNAVAILABLE",
      message: "the store is closed",
    });
    reading.resolve(1);
    expect(await read).toBe(1);
    await setImmediate();
    expect(closed).toBe(false);
    probes[0]?.reject(new TroubleError(fullDisk));
    await closing;
    await calls.close();
    await probeBegins();
    expect(probes).toHaveLength(1);
  });

  test("ends the wait for the next probe", async () => {
    const { calls, probes, fail } = callsToScriptedDatabase();
    await fail(away);
    await calls.close();
    await probeBegins();
    expect(probes).toHaveLength(0);
  });

  test("does not wait longer because a call fails", async () => {
    const { calls, probes } = callsToScriptedDatabase();
    const writing = Promise.withResolvers<number>();
    const write = calls.write(() => writing.promise).catch(() => {});
    const closing = calls.close();
    writing.reject(new TroubleError(away));
    await Promise.all([write, closing]);
    await probeBegins();
    expect(probes).toHaveLength(0);
  });
});
