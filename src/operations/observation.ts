import { create, equals } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Cancellation,
  CancellationSchema,
  type Freshness,
  type FreshnessSource,
  type OperationInfo,
  OperationInfoSchema,
  type OperationProgress,
  OperationProgressSchema,
  OperationStatus,
} from "../../gen/longhaul/v1/operation_pb.ts";
import { isTerminal, mayBeObservedAfter } from "./life-cycle.ts";
import { completeProgress, freshness, hasEnded, msOf, staleFreshness } from "./operation-snapshot.ts";
import { nextRevision } from "./revision.ts";

/** The most a running operation shows: 100 is for COMPLETED alone. */
const runningMaximum = 99.99;

/** Fields that follow the progress. */
const progressConsequences: ReadonlySet<string> = new Set(["progressChangedAt", "estimatedRemaining"]);
/** Fields that follow from an observation, whatever it has found. */
const observationFields: ReadonlySet<string> = new Set(["freshness", "revision"]);

/** What an observation is merged with. */
export interface ObservationContext {
  /** Where the observation was made. */
  readonly source: FreshnessSource;
  readonly nowMs: number;
  /** How long the record is kept after its end. */
  readonly retentionMs: number;
  /** The source has begun the work anew since the last observation, this many times. */
  readonly newAttempts: number;
  /** Estimates the time to the end from the merged progress. */
  readonly estimateRemainingMs: (info: OperationInfo) => number | undefined;
}

/**
 * The snapshot that follows `current` once its source was seen to be as `observed`.
 *
 * Status only moves along the life cycle, percentage and steps only grow within an attempt, and what the registry owns
 * is kept. Where nothing visible has changed, only observed_at does.
 */
export function mergeObservation(
  current: OperationInfo,
  observed: OperationInfo,
  context: ObservationContext,
): OperationInfo {
  const { nowMs } = context;
  if (hasEnded(current)) {
    return current;
  }
  const status = mayBeObservedAfter(current.status, observed.status) ? observed.status : current.status;
  const next: OperationInfo = {
    ...current,
    status,
    attempt: current.attempt + context.newAttempts,
    warnings: observed.warnings,
    freshness: mergeFreshness(current, observed, context),
    metricsCursor: observed.metricsCursor > current.metricsCursor ? observed.metricsCursor : current.metricsCursor,
  };
  if (status !== OperationStatus.PENDING && !next.startedAt && observed.startedAt) {
    next.startedAt = observed.startedAt;
  } else if (status === OperationStatus.RUNNING) {
    // A host may leave it out; from now on at the latest, the work has begun.
    next.startedAt ??= timestampFromMs(nowMs);
  }
  const cancellation = mergeCancellation(current.cancellation, observed.cancellation);
  if (cancellation) {
    next.cancellation = cancellation;
  }
  const progress = mergeProgress(current.progress, observed.progress, context.newAttempts > 0, nowMs);
  next.progress = progress;
  if (isTerminal(status)) {
    end(next, observed, context);
  } else if (progress !== current.progress && !progress.estimatedRemaining) {
    const remainingMs = context.estimateRemainingMs(next);
    if (remainingMs !== undefined) {
      next.progress = { ...progress, estimatedRemaining: durationFromMs(Math.round(remainingMs)) };
    }
  }
  return sameToCallers(current, next)
    ? { ...current, ...(next.freshness && { freshness: next.freshness }) }
    : { ...next, revision: nextRevision(current.revision, nowMs) };
}

/**
 * The snapshot that follows when another server has written `stored` while `current` was not stored yet: what was
 * observed here, on top of what is stored.
 */
export function rebased(stored: OperationInfo, current: OperationInfo, nowMs: number): OperationInfo {
  const { progress, warnings, freshness: seen, metricsCursor, attempt } = current;
  const newest = stored.revision > current.revision ? stored.revision : current.revision;
  const startedAt = stored.startedAt ?? current.startedAt;
  const cancellation = mergeCancellation(stored.cancellation, current.cancellation);
  return {
    ...stored,
    ...(progress && { progress }),
    ...(seen && { freshness: seen }),
    ...(startedAt && { startedAt }),
    ...(cancellation && { cancellation }),
    warnings,
    metricsCursor,
    attempt,
    revision: nextRevision(newest, nowMs),
  };
}

function end(next: OperationInfo, observed: OperationInfo, { nowMs, retentionMs }: ObservationContext): void {
  next.completedAt = observed.completedAt ?? timestampFromMs(nowMs);
  next.expiresAt = timestampFromMs(nowMs + retentionMs);
  if (next.status === OperationStatus.COMPLETED) {
    next.startedAt ??= next.completedAt;
    next.progress = completeProgress(next.progress, msOf(next.completedAt) ?? nowMs);
    if (observed.resultSummary) {
      next.resultSummary = observed.resultSummary;
    }
    if (observed.result) {
      next.result = observed.result;
    }
  }
  if (next.status === OperationStatus.FAILED && observed.error) {
    next.error = observed.error;
  }
  if (next.status === OperationStatus.CANCELLED && next.cancellation && !next.cancellation.forced) {
    // A host that does not fill in the hops has acknowledged all the same: it says CANCELLED.
    const { deliveredAt = next.completedAt, acknowledgedAt = next.completedAt } = next.cancellation;
    next.cancellation = { ...next.cancellation, deliveredAt, acknowledgedAt };
  }
  if (next.progress?.estimatedRemaining) {
    const { estimatedRemaining: _, ...progress } = next.progress;
    next.progress = progress;
  }
}

/** A source that is stale itself, such as a gateway, has not seen more than was seen before. */
function mergeFreshness(current: OperationInfo, observed: OperationInfo, context: ObservationContext): Freshness {
  const theirs = observed.freshness;
  return theirs?.stale && !hasEnded(observed)
    ? staleFreshness(current, theirs.staleReason)
    : freshness(context.source, context.nowMs);
}

/** Percentage and steps never go back within an attempt; the rest is as observed. */
function mergeProgress(
  current: OperationProgress | undefined,
  observed: OperationProgress | undefined,
  newAttempt: boolean,
  nowMs: number,
): OperationProgress {
  const before = current ?? create(OperationProgressSchema);
  if (!observed) {
    return before;
  }
  const floor = newAttempt ? create(OperationProgressSchema) : before;
  const merged: OperationProgress = {
    ...observed,
    percentage: Math.max(floor.percentage, clampPercentage(observed.percentage)),
    stepsTotal: observed.stepsTotal > 0n ? observed.stepsTotal : before.stepsTotal,
    stepsCompleted:
      observed.stepsTotal === 0n || observed.stepsTotal === floor.stepsTotal
        ? maximum(floor.stepsCompleted, observed.stepsCompleted)
        : observed.stepsCompleted,
  };
  if (sameProgress(before, merged)) {
    return before;
  }
  merged.progressChangedAt ??= timestampFromMs(nowMs);
  return merged;
}

function clampPercentage(percentage: number): number {
  return Number.isNaN(percentage) ? 0 : Math.min(Math.max(percentage, 0), runningMaximum);
}

function maximum(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

/** When the progress changed and what is estimated from it follow the progress; they are no change of their own. */
function sameProgress(a: OperationProgress, b: OperationProgress): boolean {
  if (haveSameValues(a, b, progressConsequences)) {
    return true;
  }
  const { progressChangedAt: _a, estimatedRemaining: _c, ...left } = a;
  const { progressChangedAt: _b, estimatedRemaining: _d, ...right } = b;
  return equals(OperationProgressSchema, left, right);
}

/** The registry's request comes first; how far it came, the source knows. */
function mergeCancellation(
  current: Cancellation | undefined,
  observed: Cancellation | undefined,
): Cancellation | undefined {
  if (!current || !observed) {
    return current ?? observed;
  }
  const deliveredAt = current.deliveredAt ?? observed.deliveredAt;
  const acknowledgedAt = current.acknowledgedAt ?? observed.acknowledgedAt;
  return create(CancellationSchema, {
    ...current,
    ...(deliveredAt && { deliveredAt }),
    ...(acknowledgedAt && { acknowledgedAt }),
    forced: current.forced || observed.forced,
  });
}

/** Whether two snapshots differ in nothing but revision and observed_at. */
function sameToCallers(a: OperationInfo, b: OperationInfo): boolean {
  if (a.freshness?.stale !== b.freshness?.stale || a.freshness?.source !== b.freshness?.source) {
    return false;
  }
  if (haveSameValues(a, b, observationFields)) {
    return true;
  }
  const { freshness: _a, ...left } = a;
  const { freshness: _b, ...right } = b;
  return equals(OperationInfoSchema, { ...left, revision: 0n }, { ...right, revision: 0n });
}

/**
 * Whether all fields but some have the very same values, or are lists of such. That is how a snapshot differs from the
 * one before when nothing has changed, and far cheaper to see than that messages are equal; false says nothing.
 */
function haveSameValues<M extends object>(a: M, b: M, except: ReadonlySet<string>): boolean {
  const left = a as Readonly<Record<string, unknown>>;
  const right = b as Readonly<Record<string, unknown>>;
  const names = Object.keys(right);
  return (
    names.every((name) => except.has(name) || isSame(left[name], right[name])) &&
    Object.keys(left).every((name) => except.has(name) || name in right)
  );
}

function isSame(a: unknown, b: unknown): boolean {
  if (a === b) {
    return true;
  }
  return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((each, index) => each === b[index]);
}
