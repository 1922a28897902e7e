import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { isLifeCycleStatus, isTerminal, mayBeObservedAfter, mayFollow } from "../../src/operations/life-cycle.ts";
import { operationError } from "../../src/operations/operation-errors.ts";
import type { OperationOutcome } from "../../src/operations/operation-executor.ts";
import { observed, ScriptedSource } from "../support/scripted-source.ts";
import { startTestRegistry } from "../support/test-registry.ts";

const { PENDING, RUNNING, COMPLETED, FAILED, CANCELLED, UNSPECIFIED } = OperationStatus;

/** The life cycle as the contract has it, written down once more. */
const direct: [OperationStatus, OperationStatus][] = [
  [PENDING, RUNNING],
  [PENDING, FAILED],
  [PENDING, CANCELLED],
  [RUNNING, COMPLETED],
  [RUNNING, FAILED],
  [RUNNING, CANCELLED],
];
const all = [PENDING, RUNNING, COMPLETED, FAILED, CANCELLED];

describe("the life cycle", () => {
  test("has these transitions and no others", () => {
    const allowed = all.flatMap((from) => all.filter((to) => mayFollow(from, to)).map((to) => [from, to]));
    expect(allowed).toEqual(direct);
  });

  test("ends with COMPLETED, FAILED and CANCELLED", () => {
    expect(all.filter(isTerminal)).toEqual([COMPLETED, FAILED, CANCELLED]);
  });

  test("lets COMPLETED be observed after PENDING, because RUNNING may have passed unseen", () => {
    const seen = all.flatMap((from) => all.filter((to) => mayBeObservedAfter(from, to)).map((to) => [from, to]));
    expect(new Set(seen.map(String))).toEqual(new Set([...direct, [PENDING, COMPLETED]].map(String)));
  });

  test("knows no other status: neither unspecified nor one of a newer protocol", () => {
    for (const status of [UNSPECIFIED, 6 as OperationStatus, -1 as OperationStatus]) {
      expect(isLifeCycleStatus(status)).toBe(false);
      expect(isTerminal(status)).toBe(false);
      expect(all.some((known) => mayFollow(known, status) || mayFollow(status, known))).toBe(false);
    }
  });
});

type Event =
  | { kind: "observe"; status: OperationStatus; percentage: number }
  | { kind: "unreachable" | "gone" | "sweep" | "later" | "start" }
  | { kind: "cancel"; force: boolean }
  | { kind: "finish"; outcome: OperationOutcome };

const outcomes: OperationOutcome[] = [
  { status: "completed", summary: { answer: 42 } },
  { status: "failed", error: operationError("OPERATION_FAILED", "no") },
  { status: "cancelled", forced: false },
  { status: "cancelled", forced: true },
];

const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("observe" as const),
      status: fc.constantFrom(...all, UNSPECIFIED, 9 as OperationStatus),
      percentage: fc.double(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("unreachable", "gone", "sweep", "later", "start") }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("cancel" as const), force: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("finish" as const), outcome: fc.constantFrom(...outcomes) }) },
);

test("whatever is observed and reported, a status only follows the life cycle and a terminal one is final", async () => {
  const { operations, store, clock } = await startTestRegistry({ options: { cacheTtlMs: 0, hostLostAfterMs: 5_000 } });
  const run = async (events: Event[]) => {
    const { operationId } = await operations.createOperation({ operationType: "training" });
    const source = new ScriptedSource();
    let terminal: string | undefined;
    let before: OperationStatus = PENDING;
    for (const one of events) {
      clock.nowMs += 10;
      switch (one.kind) {
        case "start":
          await operations.startOperation(operationId, () => source).catch(() => {});
          break;
        case "observe":
          source.answer = () => observed({ status: one.status, progress: { percentage: one.percentage } });
          break;
        case "unreachable":
        case "gone":
          source.answer = () => ({ outcome: one.kind === "gone" ? "gone" : "unreachable", reason: "as scripted" });
          break;
        case "sweep":
          await operations.sweep();
          break;
        case "later":
          clock.nowMs += 3_000;
          break;
        case "cancel":
          await operations.cancelOperation(operationId, "as scripted", { force: one.force });
          break;
        case "finish":
          await operations.control.finish(operationId, one.outcome);
          break;
      }
      const seen = await operations.getOperation(operationId);
      const stored = await store.get(operationId);
      expect(seen.status === before || mayBeObservedAfter(before, seen.status)).toBe(true);
      expect(stored?.info.status).toBe(seen.status);
      const text = JSON.stringify(seen, (_, value) => (typeof value === "bigint" ? String(value) : value));
      if (terminal !== undefined) {
        expect(text).toBe(terminal);
      } else if (isTerminal(seen.status)) {
        terminal = text;
        expect(seen.completedAt).toBeDefined();
        expect(seen.expiresAt).toBeDefined();
      }
      expect(seen.progress?.percentage === 100).toBe(seen.status === COMPLETED);
      before = seen.status;
    }
  };
  await fc.assert(fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 14 }), run), { numRuns: 120 });
});
