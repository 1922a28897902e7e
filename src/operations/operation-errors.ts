import { create } from "@bufbuild/protobuf";
import { Code } from "../../gen/google/rpc/code_pb.ts";
import { type OperationError, OperationErrorSchema } from "../../gen/longhaul/v1/operation_pb.ts";

/** What is to be known of a failure reason beside its name. */
export interface FailureKind {
  readonly code: Code;
  /** What has happened, in one line, for people. */
  readonly meaning: string;
}

/**
 * Every reason the registry itself gives a FAILED operation; docs/errors.md has this table, too. Hosts may send reasons
 * of their own.
 */
export const failureReasons = {
  OPERATION_FAILED: { code: Code.UNKNOWN, meaning: "The work threw." },
  WORKER_EXITED: {
    code: Code.INTERNAL,
    meaning: "The worker thread ended without a result: out of memory, or process.exit in the work.",
  },
  PROCESS_RESTARTED: {
    code: Code.ABORTED,
    meaning: "The process that ran the work was restarted, and the operation cannot be run again by itself.",
  },
  HOST_LOST: {
    code: Code.UNAVAILABLE,
    meaning: "The host was unreachable for too long, or twice denied knowing an operation it had accepted.",
  },
  HOST_REFUSED: { code: Code.FAILED_PRECONDITION, meaning: "The host would not take the operation." },
  EXECUTION_TIMEOUT: {
    code: Code.DEADLINE_EXCEEDED,
    meaning: "The operation ran longer than its execution_timeout.",
  },
} as const satisfies Record<string, FailureKind>;

/** A reason the registry itself gives a FAILED operation. */
export type FailureReason = keyof typeof failureReasons;

/** The error of an operation that failed for one of the registry's own reasons. */
export function operationError(reason: FailureReason, message: string): OperationError {
  return create(OperationErrorSchema, { code: failureReasons[reason].code, reason, message });
}
