import { create, equals, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  CancellationSchema,
  FreshnessSource,
  type OperationInfo,
  OperationInfoSchema,
  OperationStatus,
} from "../../gen/longhaul/v1/operation_pb.ts";
import { mergeObservation, type ObservationContext } from "../../src/operations/observation.ts";
import { freshness, pendingSnapshot, startedSnapshot } from "../../src/operations/operation-snapshot.ts";

const { PENDING, RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;
const beginMs = Date.UTC(2026, 0, 20);

const pending = pendingSnapshot({ operationId: "op_training_1", operationType: "training", attempt: 1 }, beginMs);
const running = startedSnapshot(pending, 1, beginMs + 1);

function merge(
  current: OperationInfo,
  observed: MessageInitShape<typeof OperationInfoSchema>,
  context: Partial<ObservationContext> = {},
): OperationInfo {
  return mergeObservation(current, create(OperationInfoSchema, observed), {
    source: FreshnessSource.HOST,
    nowMs: beginMs + 1_000,
    retentionMs: 3_600_000,
    newAttempts: 0,
    estimateRemainingMs: () => undefined,
    ...context,
  });
}

const percentageOf = (info: OperationInfo) => info.progress?.percentage ?? Number.NaN;

describe("percentage", () => {
  test.each([
    [-5, 0],
    [Number.NaN, 0],
    [Number.NEGATIVE_INFINITY, 0],
    [42.5, 42.5],
    [100, 99.99],
    [250, 99.99],
    [Number.POSITIVE_INFINITY, 99.99],
  ])("%d of running work is shown as %d", (reported, shown) => {
    expect(percentageOf(merge(running, { status: RUNNING, progress: { percentage: reported } }))).toBe(shown);
  });

  test("is 100 when the work is COMPLETED, whatever it last said", () => {
    expect(percentageOf(merge(running, { status: COMPLETED, progress: { percentage: 12 } }))).toBe(100);
    expect(percentageOf(merge(running, { status: COMPLETED }))).toBe(100);
  });

  test("stays where it was when the work FAILED or was CANCELLED", () => {
    const half = merge(running, { status: RUNNING, progress: { percentage: 50 } });
    for (const status of [FAILED, CANCELLED]) {
      expect(percentageOf(merge(half, { status, progress: { percentage: 100 } }))).toBe(99.99);
      expect(percentageOf(merge(half, { status, progress: { percentage: 3 } }))).toBe(50);
    }
  });

  test("never goes back within an attempt and begins anew with the next one", () => {
    const half = merge(running, { status: RUNNING, progress: { percentage: 50, stepsCompleted: 5n, stepsTotal: 10n } });
    const back = { status: RUNNING, progress: { percentage: 10, stepsCompleted: 1n, stepsTotal: 10n } };
    expect(merge(half, back).progress).toMatchObject({ percentage: 50, stepsCompleted: 5n });
    const again = merge(half, back, { newAttempts: 1 });
    expect(again).toMatchObject({ attempt: 2, progress: { percentage: 10, stepsCompleted: 1n } });
  });
});

describe("revision", () => {
  const half = merge(running, {
    status: RUNNING,
    progress: { percentage: 50, currentStep: "b", context: { loss: 1 }, progressChangedAt: timestampFromMs(beginMs) },
    warnings: ["slow"],
    metricsCursor: 4n,
  });
  const same = {
    status: RUNNING,
    progress: { percentage: 50, currentStep: "b", context: { loss: 1 } },
    warnings: ["slow"],
    metricsCursor: 4n,
  };

  test("stays when nothing visible has changed, and only observed_at moves", () => {
    const again = merge(half, same, { nowMs: beginMs + 5_000 });
    expect(again.revision).toBe(half.revision);
    expect(timestampMs(again.freshness?.observedAt ?? timestampFromMs(0))).toBe(beginMs + 5_000);
    expect({ ...again, freshness: undefined }).toEqual({ ...half, freshness: undefined });
  });

  test.each<[string, MessageInitShape<typeof OperationInfoSchema>]>([
    ["the status", { ...same, status: FAILED }],
    ["the percentage", { ...same, progress: { ...same.progress, percentage: 51 } }],
    ["the step", { ...same, progress: { ...same.progress, currentStep: "c" } }],
    ["the context", { ...same, progress: { ...same.progress, context: { loss: 2 } } }],
    ["the phase path", { ...same, progress: { ...same.progress, phasePath: ["x"] } }],
    ["a warning", { ...same, warnings: ["slow", "slower"] }],
    ["the metrics cursor", { ...same, metricsCursor: 5n }],
    ["the cancellation", { ...same, cancellation: { requestedAt: timestampFromMs(beginMs), reason: "x" } }],
  ])("moves with %s", (_, observed) => {
    expect(merge(half, observed).revision).toBeGreaterThan(half.revision);
  });

  test("moves when a stale snapshot is fresh again", () => {
    const stale = { ...half, freshness: { ...half.freshness, stale: true } } as OperationInfo;
    const fresh = merge(stale, same);
    expect(fresh.freshness?.stale).toBe(false);
    expect(fresh.revision).toBeGreaterThan(half.revision);
  });
});

describe("what the registry owns", () => {
  test("is not taken from an observation", () => {
    const own = {
      ...running,
      labels: { team: "a" },
      operationName: "mine",
      parentOperationId: "op_p",
      retryOf: "op_r",
    };
    const seen = merge(own, {
      operationId: "op_other",
      operationType: "other",
      operationName: "theirs",
      labels: { team: "b" },
      parentOperationId: "op_q",
      retryOf: "op_s",
      createdAt: timestampFromMs(1),
      expiresAt: timestampFromMs(2),
      host: "http://elsewhere",
      revision: 1n,
      status: RUNNING,
      progress: { percentage: 1 },
    });
    for (const key of [
      "operationId",
      "operationType",
      "operationName",
      "labels",
      "parentOperationId",
      "retryOf",
      "createdAt",
      "host",
      "expiresAt",
    ] as const) {
      expect(seen[key]).toEqual(own[key]);
    }
    expect(seen.revision).toBeGreaterThan(own.revision);
  });

  test("is when the record expires: its end as seen here and its retention", () => {
    const done = merge(running, { status: COMPLETED, completedAt: timestampFromMs(beginMs + 400) });
    expect(done.completedAt).toEqual(timestampFromMs(beginMs + 400));
    expect(done.expiresAt).toEqual(timestampFromMs(beginMs + 1_000 + 3_600_000));
  });

  test("is who asked first to cancel; how far it came, the source knows", () => {
    const requested = { requestedAt: timestampFromMs(beginMs), reason: "ours" };
    const asked = { ...running, cancellation: create(CancellationSchema, requested) };
    const deliveredAt = timestampFromMs(beginMs + 7);
    const seen = merge(asked, {
      status: RUNNING,
      cancellation: { requestedAt: timestampFromMs(beginMs + 5), reason: "theirs", deliveredAt },
    });
    expect(seen.cancellation).toMatchObject({ ...requested, deliveredAt, forced: false });
  });
});

test("an operation that is seen COMPLETED after PENDING has a start", () => {
  const done = merge(pending, { status: COMPLETED, completedAt: timestampFromMs(beginMs + 9) });
  expect(done).toMatchObject({ status: COMPLETED, startedAt: timestampFromMs(beginMs + 9) });
});

test("an estimate is made of the merged progress while the work runs, and dropped at its end", () => {
  const seen: number[] = [];
  const estimateRemainingMs = (info: OperationInfo) => {
    seen.push(percentageOf(info));
    return 1_500.4;
  };
  const half = merge(running, { status: RUNNING, progress: { percentage: 50 } }, { estimateRemainingMs });
  expect(seen).toEqual([50]);
  expect(half.progress?.estimatedRemaining).toMatchObject({ seconds: 1n, nanos: 500_000_000 });
  expect(merge(half, { status: FAILED }, { estimateRemainingMs }).progress?.estimatedRemaining).toBeUndefined();
});

test("any sequence of observations keeps percentage, steps and revision growing and the snapshot before untouched", () => {
  const observation = fc.record({
    status: fc.constantFrom(PENDING, RUNNING, RUNNING, RUNNING, COMPLETED, FAILED, CANCELLED),
    percentage: fc.oneof(fc.double(), fc.double({ min: 0, max: 100 }), fc.constantFrom(0, 100)),
    stepsCompleted: fc.bigInt(0n, 20n),
    currentStep: fc.constantFrom("", "a", "b"),
    metricsCursor: fc.bigInt(0n, 9n),
    newAttempts: fc.constantFrom(0, 0, 0, 0, 1),
    passedMs: fc.nat(2),
  });
  fc.assert(
    fc.property(fc.array(observation, { maxLength: 30 }), (observations) => {
      let current = running;
      let nowMs = beginMs;
      for (const { newAttempts, passedMs, status, metricsCursor, ...progress } of observations) {
        nowMs += passedMs;
        const before = structuredClone(current);
        const next = merge(
          current,
          { status, metricsCursor, progress: { ...progress, stepsTotal: 20n } },
          { newAttempts, nowMs },
        );
        expect(structuredClone(current)).toEqual(before);
        const visible = (info: OperationInfo) =>
          create(OperationInfoSchema, { ...info, revision: 0n, freshness: freshness(info.freshness?.source ?? 0, 0) });
        expect(next.revision > current.revision).toBe(!equals(OperationInfoSchema, visible(current), visible(next)));
        expect(next.revision).toBeGreaterThanOrEqual(current.revision);
        expect(percentageOf(next)).toBeGreaterThanOrEqual(0);
        expect(percentageOf(next) === 100).toBe(next.status === COMPLETED);
        expect(next.metricsCursor).toBeGreaterThanOrEqual(current.metricsCursor);
        if (next.attempt === current.attempt && current.progress) {
          expect(percentageOf(next)).toBeGreaterThanOrEqual(percentageOf(current));
          expect(next.progress?.stepsCompleted).toBeGreaterThanOrEqual(current.progress.stepsCompleted);
        }
        current = next;
      }
    }),
  );
});
