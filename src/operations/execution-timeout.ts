import { durationMs } from "@bufbuild/protobuf/wkt";
import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import type { LiveOperation } from "./live-operation.ts";
import { operationError } from "./operation-errors.ts";
import type { OperationOutcome } from "./operation-executor.ts";
import { msOf } from "./operation-snapshot.ts";
import type { StoredOperation } from "./operation-store.ts";

/** The longest delay a timer of Node.js can have, in milliseconds. */
const longestTimerMs = 2 ** 31 - 1;

/** How an operation ends that its execution_timeout has cancelled: FAILED. Undefined for every other one. */
export function timeoutOutcome(
  stored: StoredOperation,
  info: OperationInfo,
): Extract<OperationOutcome, { status: "failed" }> | undefined {
  const reason = timeoutReason(stored);
  // The first reason stays, so it tells who was first, also after a restart.
  return reason !== undefined && info.cancellation?.reason === reason
    ? { status: "failed", error: operationError("EXECUTION_TIMEOUT", reason) }
    : undefined;
}

/**
 * Calls `onTimeout` with the reason to cancel an operation once that has run longer than its execution_timeout; never
 * when it has none, or ends before. The time runs from when it is known to have begun.
 */
export function watchTimeout(operation: LiveOperation, now: () => number, onTimeout: (reason: string) => void): void {
  const { executionTimeout } = operation.stored.request;
  const reason = timeoutReason(operation.stored);
  if (!executionTimeout || reason === undefined) {
    return;
  }
  let timer: NodeJS.Timeout | undefined;
  const arm = (startedMs: number) => {
    const leftMs = startedMs + durationMs(executionTimeout) - now();
    const isLast = leftMs <= longestTimerMs;
    const next = () => (isLast ? onTimeout(reason) : arm(startedMs));
    timer = setTimeout(next, Math.min(Math.max(leftMs, 0), longestTimerMs)).unref();
  };
  const look = () => {
    const startedMs = msOf(operation.info.startedAt);
    if (operation.isOver) {
      clearTimeout(timer);
      unsubscribe();
    } else if (timer === undefined && startedMs !== undefined) {
      arm(startedMs);
    }
  };
  const unsubscribe = operation.onChange(look);
  look();
}

function timeoutReason({ request: { executionTimeout } }: StoredOperation): string | undefined {
  return executionTimeout && `the execution_timeout of ${durationMs(executionTimeout) / 1000} s has passed`;
}
