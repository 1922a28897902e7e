import { create } from "@bufbuild/protobuf";
import { Code } from "../../gen/google/rpc/code_pb.ts";
import { type OperationError, OperationErrorSchema } from "../../gen/longhaul/v1/operation_pb.ts";

/** Every reason the registry itself gives a FAILED operation, with its code. Hosts may send reasons of their own. */
export const failureReasons = {
  /** The work threw. */
  OPERATION_FAILED: Code.UNKNOWN,
  /** The worker thread ended without a result: out of memory, or process.exit in the work. */
  WORKER_EXITED: Code.INTERNAL,
  /** The process that ran the work was restarted, and the operation cannot be run again by itself. */
  PROCESS_RESTARTED: Code.ABORTED,
  /** The host was unreachable for too long, or twice denied knowing an operation it had accepted. */
  HOST_LOST: Code.UNAVAILABLE,
  /** The host would not take the operation. */
  HOST_REFUSED: Code.FAILED_PRECONDITION,
  /** The operation ran longer than its execution_timeout. */
  EXECUTION_TIMEOUT: Code.DEADLINE_EXCEEDED,
} as const satisfies Record<string, Code>;

/** A reason the registry itself gives a FAILED operation. */
export type FailureReason = keyof typeof failureReasons;

/** The error of an operation that failed for one of the registry's own reasons. */
export function operationError(reason: FailureReason, message: string): OperationError {
  return create(OperationErrorSchema, { code: failureReasons[reason], reason, message });
}
