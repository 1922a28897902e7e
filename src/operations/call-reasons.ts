import { Code } from "../../gen/google/rpc/code_pb.ts";

/** What is to be known of a reason beside its name. */
export interface CallErrorKind {
  readonly code: Code;
  /** What has happened, in one line, for people. */
  readonly meaning: string;
  /** What the caller should do about it, in one line. */
  readonly advice: string;
  /** When the same call is worth repeating unless the error says otherwise, in milliseconds. Unset: it is not. */
  readonly retryAfterMs?: number;
}

/**
 * The catalogue of every reason a call can be refused for. The names travel to clients in google.rpc.ErrorInfo and are
 * part of the protocol; docs/errors.md is this table.
 */
export const callErrors = {
  INVALID_FIELD: {
    code: Code.INVALID_ARGUMENT,
    meaning: "A field of the request is malformed or out of range; the violations name each.",
    advice: "Correct the fields.",
  },
  INVALID_MESSAGE: {
    code: Code.INVALID_ARGUMENT,
    meaning: "The request, or one of its headers, cannot be read: malformed JSON or protobuf, or an unknown field.",
    advice: "Correct the client; compare it with the protos.",
  },
  UNKNOWN_OPERATION_TYPE: {
    code: Code.INVALID_ARGUMENT,
    meaning: "No orchestrator and no route serves the operation_type; the message names those that are served.",
    advice: "Correct the type, or add the route.",
  },
  INVALID_PAGE_TOKEN: {
    code: Code.INVALID_ARGUMENT,
    meaning: "The page_token was not issued for this filter, or not by this service.",
    advice: "Begin again without a token.",
  },
  UNAUTHENTICATED: {
    code: Code.UNAUTHENTICATED,
    meaning: "The call carries no credential, or one that is expired or not trusted here.",
    advice: "Get a new credential.",
  },
  PERMISSION_DENIED: {
    code: Code.PERMISSION_DENIED,
    meaning: "The caller is known, and its role does not allow the call.",
    advice: "Ask for the role.",
  },
  OPERATION_NOT_FOUND: {
    code: Code.NOT_FOUND,
    meaning: "The operation never existed here, was deleted, or is not for this caller to see.",
    advice: "Check the id.",
  },
  OPERATION_EXPIRED: {
    code: Code.NOT_FOUND,
    meaning: "The operation existed and was removed after its retention.",
    advice: "Ask for a longer retention when creating.",
  },
  SERVICE_NOT_FOUND: {
    code: Code.NOT_FOUND,
    meaning: "A health check named a service that is not served here.",
    advice: "Name one that reflection lists, or none for the whole server.",
  },
  OPERATION_ID_IN_USE: {
    code: Code.ALREADY_EXISTS,
    meaning: "Another operation has the operation_id.",
    advice: "Choose another id, or let the server make one.",
  },
  REQUEST_ID_REUSED: {
    code: Code.ALREADY_EXISTS,
    meaning: "The request_id was used with another payload.",
    advice: "Use a new request_id for a new operation, and the same payload for a repeated one.",
  },
  OPERATION_NOT_TERMINAL: {
    code: Code.FAILED_PRECONDITION,
    meaning: "The call needs an operation that has ended.",
    advice: "Cancel it, or wait for its end.",
  },
  OPERATION_NOT_RETRYABLE: {
    code: Code.FAILED_PRECONDITION,
    meaning: "Only FAILED and CANCELLED operations can be retried.",
    advice: "Create a new operation.",
  },
  ILLEGAL_TRANSITION: {
    code: Code.FAILED_PRECONDITION,
    meaning: "The operation's status does not allow the change.",
    advice: "Read the operation again.",
  },
  PARENT_ENDED: {
    code: Code.FAILED_PRECONDITION,
    meaning: "The parent has ended or is being cancelled, so it gets no more children.",
    advice: "Create the operation without a parent, if it is still wanted.",
  },
  ROUTING_LOOP: {
    code: Code.FAILED_PRECONDITION,
    meaning: "The call has come back to a server it has already passed.",
    advice: "Correct the routes of the servers it passes.",
  },
  TOO_MANY_HOPS: {
    code: Code.FAILED_PRECONDITION,
    meaning: "The call has passed more servers than `maxHops` allows.",
    advice: "Shorten the way, or raise the limit.",
  },
  CONCURRENT_CHANGE: {
    code: Code.ABORTED,
    meaning: "Another writer was faster, again and again.",
    advice: "Repeat the call.",
    retryAfterMs: 100,
  },
  RATE_LIMITED: {
    code: Code.RESOURCE_EXHAUSTED,
    meaning: "The caller makes more calls than it may.",
    advice: "Call less often; repeat this call after the delay.",
    retryAfterMs: 1_000,
  },
  TOO_MANY_WAITERS: {
    code: Code.RESOURCE_EXHAUSTED,
    meaning: "The server holds as many waiting calls as it may.",
    advice: "Repeat the call after the delay, or poll.",
    retryAfterMs: 1_000,
  },
  LIMIT_REACHED: {
    code: Code.RESOURCE_EXHAUSTED,
    meaning: "The request needs more than a limit of this server; the message names it.",
    advice: "Ask for less, or raise the limit.",
  },
  MESSAGE_TOO_LARGE: {
    code: Code.RESOURCE_EXHAUSTED,
    meaning: "A message is larger, unpacked, than `maxMessageBytes`.",
    advice: "Send or ask for less, or raise the limit.",
  },
  SHUTTING_DOWN: {
    code: Code.UNAVAILABLE,
    meaning: "The server is stopping; nothing was done.",
    advice: "Repeat the call; another server, or this one after its restart, answers.",
    retryAfterMs: 1_000,
  },
  STORE_UNAVAILABLE: {
    code: Code.UNAVAILABLE,
    meaning: "The store cannot be reached or written.",
    advice: "Repeat the call after the delay.",
    retryAfterMs: 1_000,
  },
  AUTHENTICATION_UNAVAILABLE: {
    code: Code.UNAVAILABLE,
    meaning: "The key that a token is signed with cannot be looked up just now.",
    advice: "Repeat the call after the delay.",
    retryAfterMs: 1_000,
  },
  UNKNOWN_METHOD: {
    code: Code.UNIMPLEMENTED,
    meaning: "The server has no such service or method.",
    advice: "Correct the path; reflection lists what there is.",
  },
  UNSUPPORTED_COMPRESSION: {
    code: Code.UNIMPLEMENTED,
    meaning: "The request is compressed in a way the server does not read; the message names those it does.",
    advice: "Use gzip, br, or none.",
  },
  WRONG_MESSAGE_COUNT: {
    code: Code.UNIMPLEMENTED,
    meaning: "The request has no message, or more than the one its method takes.",
    advice: "Correct the client.",
  },
  DEADLINE_EXCEEDED: {
    code: Code.DEADLINE_EXCEEDED,
    meaning: "The call's own deadline has passed.",
    advice: "Give it more time; what it asked for may have been done.",
  },
  CANCELLED: {
    code: Code.CANCELLED,
    meaning: "The caller has given the call up.",
    advice: "Nothing; what it asked for may have been done.",
  },
  PROTOCOL_ERROR: {
    code: Code.INTERNAL,
    meaning: "The request breaks the rules of gRPC, gRPC-Web or Connect.",
    advice: "Correct the client or the proxy in between.",
  },
  INTERNAL: {
    code: Code.INTERNAL,
    meaning: "The server is at fault; its log has the details.",
    advice: "Tell those who operate it.",
  },
} as const satisfies Record<string, CallErrorKind>;

/** A reason a call can be refused for. */
export type CallErrorReason = keyof typeof callErrors;
