import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { callerRuns } from "../../src/operations/caller-runs.ts";
import { startTestRegistry } from "../support/test-registry.ts";

const longMs = 50_000;

/** A registry with a running operation, as it was last read. */
async function runningOperation() {
  const registry = await startTestRegistry({ options: { cacheTtlMs: 60_000 } });
  const { operations } = registry;
  const { operationId } = await operations.createOperation({ operationType: "training" }, { executor: callerRuns });
  await operations.startOperation(operationId);
  const { revision: knownRevision } = await operations.getOperation(operationId);
  const wait = (timeoutMs = longMs, signal?: AbortSignal) =>
    operations.waitOperation(operationId, {
      knownRevision,
      untilDone: false,
      timeoutMs,
      ...(signal && { signal }),
    });
  /** Waits of this many callers; `waiting` resolves when all of them wait. */
  const waitOf = async (count: number) => {
    const answers = Array.from({ length: count }, () => wait());
    await vi.waitFor(() => expect(operations.activity.waiters).toBe(count));
    return answers;
  };
  return { ...registry, operationId, knownRevision, wait, waitOf };
}

describe("waiters on one operation", () => {
  test("are all answered by one change, and others have their turn meanwhile", async () => {
    const { operations, operationId, waitOf } = await runningOperation();
    const count = 10_000;
    const answers = await waitOf(count);
    let answered = 0;
    for (const answer of answers) {
      void answer.then(() => {
        answered += 1;
      });
    }
    operations.updateProgress(operationId, { percentage: 40 });

    let mostInOneTurn = 0;
    for (let before = 0; answered < count; before = answered) {
      await nextTurn();
      mostInOneTurn = Math.max(mostInOneTurn, answered - before);
    }
    expect(mostInOneTurn).toBeLessThan(count / 50);
    const percentages = new Set((await Promise.all(answers)).map(({ progress }) => progress?.percentage));
    expect(percentages).toEqual(new Set([40]));
    expect(operations.activity.waiters).toBe(0);
  });

  test("cost a few timers, and not one each", async () => {
    const { operations, operationId, waitOf } = await runningOperation();
    const timers = vi.spyOn(globalThis, "setTimeout");
    const answers = await waitOf(1_000);
    const started = timers.mock.calls.length;
    timers.mockRestore();
    operations.updateProgress(operationId, { percentage: 40 });
    await Promise.all(answers);

    expect(started).toBeGreaterThan(0);
    expect(started).toBeLessThan(100);
  });

  test("end one by one with their own signals", async () => {
    const { operations, operationId, knownRevision, wait } = await runningOperation();
    const caller = new AbortController();
    const leaving = wait(longMs, caller.signal);
    await vi.waitFor(() => expect(operations.activity.waiters).toBe(1));
    const staying = Array.from({ length: 3 }, () => wait());
    await vi.waitFor(() => expect(operations.activity.waiters).toBe(4));

    caller.abort();
    expect((await leaving).revision).toBe(knownRevision);
    expect(operations.activity.waiters).toBe(3);
    operations.updateProgress(operationId, { percentage: 40 });
    for (const { progress } of await Promise.all(staying)) {
      expect(progress?.percentage).toBe(40);
    }
    expect(operations.activity.waiters).toBe(0);
  });

  test("end when their time is up, each at its own", async () => {
    const { knownRevision, wait } = await runningOperation();
    const ended: number[] = [];
    const timeouts = [400, 0, 200, 5];
    await Promise.all(
      timeouts.map(async (timeoutMs) => {
        expect((await wait(timeoutMs)).revision).toBe(knownRevision);
        ended.push(timeoutMs);
      }),
    );
    expect(ended.slice(2)).toEqual([200, 400]);
  });

  test("end when the registry closes, and nobody waits after that", async () => {
    const { operations, knownRevision, wait, waitOf, stop } = await runningOperation();
    const answers = await waitOf(200);
    const closed = operations.close();
    for (const { revision } of await Promise.all(answers)) {
      expect(revision).toBe(knownRevision);
    }
    expect((await wait()).revision).toBe(knownRevision);
    await closed;
    await stop();
  });
});
