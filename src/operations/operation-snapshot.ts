import { clone, create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type Cancellation,
  CancellationSchema,
  type Freshness,
  FreshnessSchema,
  FreshnessSource,
  type OperationInfo,
  OperationInfoSchema,
  type OperationProgress,
  OperationProgressSchema,
  OperationStatus,
} from "../../gen/longhaul/v1/operation_pb.ts";
import { isTerminal } from "./life-cycle.ts";
import type { OperationOutcome } from "./operation-executor.ts";
import { nextRevision } from "./revision.ts";

// A published OperationInfo is never changed: these functions make the next one. They share with the old one what has
// not changed.

/** The next snapshot: `changes` on top of `current`, with a new revision. */
export function nextSnapshot(current: OperationInfo, changes: Partial<OperationInfo>, nowMs: number): OperationInfo {
  return { ...current, ...changes, revision: nextRevision(current.revision, nowMs) };
}

/** The same snapshot under a revision that follows another one, unless it has one already. */
export function followingRevision(current: OperationInfo, known: bigint, nowMs: number): OperationInfo {
  return current.revision > known ? current : { ...current, revision: nextRevision(known, nowMs) };
}

/** The same snapshot seen again: a new observed_at, and no new revision. */
export function seenAgain(current: OperationInfo, source: FreshnessSource, nowMs: number): OperationInfo {
  return { ...current, freshness: freshness(source, nowMs) };
}

/** A snapshot that could not be observed just now. It gets a new revision only when that is news. */
export function staleSnapshot(current: OperationInfo, reason: string, nowMs: number): OperationInfo {
  if (current.freshness?.stale === true && current.freshness.staleReason === reason) {
    return current;
  }
  return nextSnapshot(current, { freshness: staleFreshness(current, reason) }, nowMs);
}

/** As it was last seen, which may not be so any more. */
export function staleFreshness({ freshness }: OperationInfo, reason: string): Freshness {
  return { ...(freshness ?? create(FreshnessSchema)), stale: true, staleReason: reason };
}

/** What is known to be so at a time. */
export function freshness(source: FreshnessSource, observedAtMs: number): Freshness {
  return create(FreshnessSchema, { source, observedAt: timestampFromMs(observedAtMs) });
}

/** The snapshot of an operation whose work begins in this process. */
export function startedSnapshot(current: OperationInfo, attempt: number, nowMs: number): OperationInfo {
  return nextSnapshot(
    current,
    {
      status: OperationStatus.RUNNING,
      startedAt: current.startedAt ?? timestampFromMs(nowMs),
      attempt,
      progress: attempt === current.attempt && current.progress ? current.progress : initialProgress(current),
      freshness: freshness(FreshnessSource.LOCAL, nowMs),
    },
    nowMs,
  );
}

/** The snapshot of an operation that has ended. `retentionMs` is how long its record is kept. */
export function endedSnapshot(
  current: OperationInfo,
  outcome: OperationOutcome,
  retentionMs: number,
  nowMs: number,
): OperationInfo {
  const changes: Partial<OperationInfo> = {
    completedAt: timestampFromMs(nowMs),
    expiresAt: timestampFromMs(nowMs + retentionMs),
    freshness: freshness(FreshnessSource.STORED, nowMs),
  };
  switch (outcome.status) {
    case "completed":
      changes.status = OperationStatus.COMPLETED;
      changes.progress = completeProgress(current.progress, nowMs);
      if (outcome.summary !== undefined) {
        changes.resultSummary = outcome.summary;
      }
      if (outcome.result !== undefined) {
        changes.result = outcome.result;
      }
      break;
    case "failed":
      changes.status = OperationStatus.FAILED;
      changes.error = outcome.error;
      break;
    case "cancelled":
      changes.status = OperationStatus.CANCELLED;
      changes.cancellation = settledCancellation(current, outcome.forced, nowMs);
      break;
  }
  return withoutEstimate(nextSnapshot(current, changes, nowMs));
}

/** Whether nothing can happen to the operation any more. */
export function hasEnded(info: OperationInfo): boolean {
  return isTerminal(info.status);
}

/** A timestamp in milliseconds since the epoch; undefined when it is not set. */
export function msOf(timestamp: Parameters<typeof timestampMs>[0] | undefined): number | undefined {
  return timestamp === undefined ? undefined : timestampMs(timestamp);
}

/** Progress of 100 %, keeping what the work last said of its steps. */
export function completeProgress(progress: OperationProgress | undefined, nowMs: number): OperationProgress {
  const complete = progress ? clone(OperationProgressSchema, progress) : create(OperationProgressSchema);
  complete.percentage = 100;
  complete.phasePath = [];
  if (complete.stepsTotal > 0n) {
    complete.stepsCompleted = complete.stepsTotal;
  }
  complete.progressChangedAt = timestampFromMs(nowMs);
  return complete;
}

function initialProgress(current: OperationInfo): OperationProgress {
  return create(OperationProgressSchema, { stepsTotal: current.progress?.stepsTotal ?? 0n });
}

/** An ended operation has no time left to estimate. */
function withoutEstimate(info: OperationInfo): OperationInfo {
  if (info.progress?.estimatedRemaining === undefined) {
    return info;
  }
  const { estimatedRemaining: _, ...progress } = info.progress;
  return { ...info, progress };
}

function settledCancellation(current: OperationInfo, forced: boolean, nowMs: number): Cancellation {
  const now = timestampFromMs(nowMs);
  const cancellation = current.cancellation
    ? clone(CancellationSchema, current.cancellation)
    : create(CancellationSchema, { requestedAt: now, reason: "cancelled by the work itself" });
  if (forced) {
    cancellation.forced = true;
  } else if (current.status !== OperationStatus.PENDING) {
    // Work that never began has nowhere to be told and nothing to acknowledge.
    cancellation.deliveredAt ??= now;
    cancellation.acknowledgedAt = now;
  }
  return cancellation;
}

/** A new operation, PENDING at revision 1 of its time. */
export function pendingSnapshot(init: MessageInitShape<typeof OperationInfoSchema>, nowMs: number): OperationInfo {
  return create(OperationInfoSchema, {
    ...init,
    status: OperationStatus.PENDING,
    createdAt: timestampFromMs(nowMs),
    freshness: freshness(FreshnessSource.LOCAL, nowMs),
    revision: nextRevision(0n, nowMs),
  });
}
