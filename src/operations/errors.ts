import { Code } from "../../gen/google/rpc/code_pb.ts";
import { type CallErrorKind, type CallErrorReason, callErrors } from "./call-reasons.ts";

/** What is wrong with one field of a request. */
export interface FieldViolation {
  /** Path of the field, as in the proto: "metadata.symbol". */
  readonly field: string;
  /** What is wrong with it and what would be right. */
  readonly description: string;
}

/** What an error says beside its message. */
export interface CallErrorDetails {
  readonly violations?: readonly FieldViolation[];
  /** The operation the error is about. */
  readonly operationId?: string;
  /** The gRPC service the error is about. */
  readonly serviceName?: string;
  /** When a retry is sensible, in milliseconds from now. Default: what the catalogue says of the reason. */
  readonly retryAfterMs?: number;
  /** What was asked for may have been done all the same. Default false. */
  readonly mayBeDone?: boolean;
  readonly cause?: unknown;
}

/** A call was refused; the message is meant for the caller. */
export class CallError extends Error {
  override readonly name = "CallError";
  readonly reason: CallErrorReason;
  readonly details: CallErrorDetails;

  constructor(reason: CallErrorReason, message: string, details: CallErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.reason = reason;
    this.details = details;
  }

  /** The google.rpc.Code of the reason. */
  get code(): Code {
    return callErrors[this.reason].code;
  }

  /** When the same call is worth repeating, in milliseconds from now; undefined when it is not. */
  get retryAfterMs(): number | undefined {
    const kind: CallErrorKind = callErrors[this.reason];
    return this.details.retryAfterMs ?? kind.retryAfterMs;
  }
}

/** A request with one malformed field. */
export function invalidField(field: string, description: string): CallError {
  return new CallError("INVALID_FIELD", `${field}: ${description}`, { violations: [{ field, description }] });
}

/** There is no such operation, as far as the caller is concerned. */
export function operationNotFound(operationId: string): CallError {
  return new CallError("OPERATION_NOT_FOUND", `operation ${operationId} does not exist`, { operationId });
}

/** For `catch`: undefined when the error says that an operation does not exist or has expired; throws all others. */
export function ifMissing(error: unknown): undefined {
  if (error instanceof CallError && error.code === Code.NOT_FOUND) {
    return undefined;
  }
  throw error;
}
