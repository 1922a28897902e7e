import { Code } from "../../gen/google/rpc/code_pb.ts";

/**
 * Every reason a call can be refused for, with its code. The names travel to clients in google.rpc.ErrorInfo and are
 * part of the protocol.
 */
export const callErrors = {
  /** A field of the request is malformed or out of range; the violations name it. */
  INVALID_FIELD: Code.INVALID_ARGUMENT,
  /** No orchestrator and no route serves the operation_type. */
  UNKNOWN_OPERATION_TYPE: Code.INVALID_ARGUMENT,
  /** The page_token was not issued for this filter, or not by this service. */
  INVALID_PAGE_TOKEN: Code.INVALID_ARGUMENT,
  /** The call carries no credential, or one that is not accepted here. */
  UNAUTHENTICATED: Code.UNAUTHENTICATED,
  /** The caller is known, and may not do this. */
  PERMISSION_DENIED: Code.PERMISSION_DENIED,
  /** The operation never existed here, was deleted, or is not for this caller to see. */
  OPERATION_NOT_FOUND: Code.NOT_FOUND,
  /** The operation existed and was removed after its retention. */
  OPERATION_EXPIRED: Code.NOT_FOUND,
  /** Another operation has the operation_id. */
  OPERATION_ID_IN_USE: Code.ALREADY_EXISTS,
  /** The request_id was used with another payload. */
  REQUEST_ID_REUSED: Code.ALREADY_EXISTS,
  /** The call needs a terminal operation. */
  OPERATION_NOT_TERMINAL: Code.FAILED_PRECONDITION,
  /** Only FAILED and CANCELLED operations can be retried. */
  OPERATION_NOT_RETRYABLE: Code.FAILED_PRECONDITION,
  /** The operation's status does not allow the change. */
  ILLEGAL_TRANSITION: Code.FAILED_PRECONDITION,
  /** The parent has ended or is being cancelled, so it gets no more children. */
  PARENT_ENDED: Code.FAILED_PRECONDITION,
  /** The call has come back to a server it has already passed. */
  ROUTING_LOOP: Code.FAILED_PRECONDITION,
  /** The call has passed more servers than allowed. */
  TOO_MANY_HOPS: Code.FAILED_PRECONDITION,
  /** Another writer was faster, again and again. */
  CONCURRENT_CHANGE: Code.ABORTED,
  /** A limit of this server is reached. */
  LIMIT_REACHED: Code.RESOURCE_EXHAUSTED,
  /** The server is stopping. */
  SHUTTING_DOWN: Code.UNAVAILABLE,
  /** The store cannot be reached or written. */
  STORE_UNAVAILABLE: Code.UNAVAILABLE,
  /** The key that a token was signed with cannot be looked up just now. */
  AUTHENTICATION_UNAVAILABLE: Code.UNAVAILABLE,
  /** The server is at fault; its log has the details. */
  INTERNAL: Code.INTERNAL,
} as const satisfies Record<string, Code>;

/** A reason a call can be refused for. */
export type CallErrorReason = keyof typeof callErrors;

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
  /** When a retry is sensible, in milliseconds from now. */
  readonly retryAfterMs?: number;
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
    return callErrors[this.reason];
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
