import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";

/** What the process ends with; part of the command line's contract. */
export const exitCodes = {
  /** The command did what it says; the operation COMPLETED. */
  ok: 0,
  /** The operation FAILED, or the server refused the call. */
  failed: 1,
  /** The command line or the configuration is wrong. */
  usage: 2,
  /** The operation was CANCELLED. */
  cancelled: 3,
  /** The server cannot be reached. */
  unreachable: 4,
  /** Left by Ctrl+C before the end was known. */
  interrupted: 130,
} as const;

/** The exit code that tells how an operation ended. */
export function exitCodeOf(status: OperationStatus): number {
  switch (status) {
    case OperationStatus.FAILED:
      return exitCodes.failed;
    case OperationStatus.CANCELLED:
      return exitCodes.cancelled;
    default:
      return exitCodes.ok;
  }
}
