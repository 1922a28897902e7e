import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";

const { PENDING, RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;

/** The statuses an operation can be in. */
export type LifeCycleStatus = typeof PENDING | typeof RUNNING | typeof COMPLETED | typeof FAILED | typeof CANCELLED;

/** Which status may follow which; the whole life cycle. */
export const successors = {
  [PENDING]: [RUNNING, FAILED, CANCELLED],
  [RUNNING]: [COMPLETED, FAILED, CANCELLED],
  [COMPLETED]: [],
  [FAILED]: [],
  [CANCELLED]: [],
} as const satisfies Record<LifeCycleStatus, readonly LifeCycleStatus[]>;

/** All statuses an operation can be in, in the order of a life. */
export const lifeCycleStatuses: readonly OperationStatus[] = [PENDING, RUNNING, COMPLETED, FAILED, CANCELLED];

/** Statuses of operations that have not ended. */
export const activeStatuses: readonly OperationStatus[] = [PENDING, RUNNING];

/** Whether the status is one of the life cycle, and not unspecified or from a newer protocol. */
export function isLifeCycleStatus(status: OperationStatus): status is LifeCycleStatus {
  return Object.hasOwn(successors, status);
}

/** Whether nothing can follow. A status this version does not know is not terminal. */
export function isTerminal(status: OperationStatus): boolean {
  return isLifeCycleStatus(status) && successors[status].length === 0;
}

/** Whether `to` may directly follow `from`. */
export function mayFollow(from: OperationStatus, to: OperationStatus): boolean {
  return isLifeCycleStatus(from) && (successors[from] as readonly OperationStatus[]).includes(to);
}

/**
 * Whether `to` may be observed after `from`: directly or by way of statuses nobody saw. A host whose operation began
 * and completed between two pulls shows COMPLETED after PENDING.
 */
export function mayBeObservedAfter(from: OperationStatus, to: OperationStatus): boolean {
  return isLifeCycleStatus(from) && successors[from].some((next) => next === to || mayFollow(next, to));
}
