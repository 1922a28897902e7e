import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { estimateRemainingMs } from "../progress/time-estimate.ts";
import { msOf } from "./operation-snapshot.ts";

/** Weight of the newest run in the average of a type. */
const newestWeight = 0.3;

/** How long operations of each type take: an exponentially weighted average of the completed ones seen here. */
export class RunDurations {
  readonly #averageMs = new Map<string, number>();

  /** Takes a completed operation into account; any other is ignored. */
  note(info: OperationInfo): void {
    const startedMs = msOf(info.startedAt);
    const completedMs = msOf(info.completedAt);
    if (info.status !== OperationStatus.COMPLETED || startedMs === undefined || completedMs === undefined) {
      return;
    }
    const before = this.#averageMs.get(info.operationType) ?? completedMs - startedMs;
    const average = before + newestWeight * (completedMs - startedMs - before);
    this.#averageMs.set(info.operationType, average);
  }

  /** Time to the end of a running operation, in milliseconds; undefined when there is nothing to estimate from. */
  estimateRemainingMs(info: OperationInfo, nowMs: number): number | undefined {
    const startedMs = msOf(info.startedAt);
    if (startedMs === undefined || !info.progress) {
      return undefined;
    }
    const earlierRunMs = this.#averageMs.get(info.operationType);
    return estimateRemainingMs({
      percentage: info.progress.percentage,
      elapsedMs: nowMs - startedMs,
      ...(earlierRunMs !== undefined && { earlierRunMs }),
    });
  }
}
