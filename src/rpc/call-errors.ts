import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.ts";
import type { CallErrorReason } from "../operations/call-reasons.ts";
import { CallError } from "../operations/errors.ts";

/** The domain of every google.rpc.ErrorInfo this service sends. */
export const errorDomain = "longhaul";

/** Trailer that steers a gRPC client's own retries: milliseconds to wait, or a negative number for no retry. */
export const pushbackTrailer = "grpc-retry-pushback-ms";

/** Headers are all the room an error has in gRPC, and some clients take no more than 8 KiB of them. */
const longestMessage = 1_000;
/** Codes that clients repeat a call for by themselves when their retry policy is an ordinary one. */
const retriedCodes: ReadonlySet<Code> = new Set([Code.Unavailable, Code.Aborted, Code.ResourceExhausted]);

/**
 * Turns what a call ended with into the error the caller gets: a CallError with its details; an error of the protocol
 * layer with the reason that fits it; and anything else, which is this server's fault, into INTERNAL without its text.
 *
 * `isRepeatable` is false for a call that would do its work twice when it is made again. Then a caller is asked to
 * retry only if nothing can have been done yet.
 */
export function connectErrorFrom(error: unknown, isRepeatable = true): ConnectError {
  if (error instanceof CallError) {
    return callErrorToConnect(error, isRepeatable);
  }
  const reason = error instanceof ConnectError ? protocolReason(error) : "INTERNAL";
  const isOurs = reason === "INTERNAL" || !(error instanceof ConnectError);
  return callErrorToConnect(isOurs ? internalError() : new CallError(reason, error.rawMessage), isRepeatable);
}

/** The error for what is this server's fault. */
export function internalError(): CallError {
  return new CallError("INTERNAL", "internal error; the server's log has the details");
}

/** The reason for an error of the protocol layer, which tells its errors apart by code and text alone. */
function protocolReason({ code, rawMessage }: ConnectError): CallErrorReason {
  switch (code) {
    case Code.InvalidArgument:
      return "INVALID_MESSAGE";
    case Code.ResourceExhausted:
      return "MESSAGE_TOO_LARGE";
    case Code.Unimplemented:
      return rawMessage.startsWith("unknown compression") ? "UNSUPPORTED_COMPRESSION" : "WRONG_MESSAGE_COUNT";
    case Code.DeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    // A connection that is gone counts as Aborted.
    case Code.Canceled:
    case Code.Aborted:
      return "CANCELLED";
    case Code.Unavailable:
      return "SHUTTING_DOWN";
    case Code.Internal:
      if (rawMessage.startsWith("parse binary")) {
        return "INVALID_MESSAGE";
      }
      return /^(internal error|serialize)/.test(rawMessage) ? "INTERNAL" : "PROTOCOL_ERROR";
    default:
      return "INTERNAL";
  }
}

function callErrorToConnect(error: CallError, isRepeatable: boolean): ConnectError {
  const { violations, operationId, serviceName, mayBeDone } = error.details;
  const message = shortened(error.message);
  // google.rpc.Code and Connect's Code are the same numbers.
  const result = new ConnectError(message, error.code as number as Code);
  result.details.push({ desc: ErrorInfoSchema, value: { domain: errorDomain, reason: error.reason } });
  if (error.reason === "UNAUTHENTICATED") {
    // RFC 9110, section 11.6.1: with status 401, which Connect and browsers see.
    result.metadata.set("www-authenticate", "Bearer");
  }
  if (violations) {
    result.details.push({ desc: BadRequestSchema, value: { fieldViolations: violations.map((one) => ({ ...one })) } });
  }
  if (operationId !== undefined) {
    result.details.push(resourceInfo("longhaul.v1.OperationInfo", operationId, message));
  } else if (serviceName !== undefined) {
    result.details.push(resourceInfo("gRPC service", serviceName, message));
  }
  const retryAfterMs = isRepeatable || !mayBeDone ? error.retryAfterMs : undefined;
  if (retryAfterMs !== undefined) {
    result.details.push({ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(retryAfterMs) } });
    result.metadata.set(pushbackTrailer, Math.ceil(retryAfterMs).toString());
  } else if (retriedCodes.has(result.code)) {
    result.metadata.set(pushbackTrailer, "-1");
  }
  return result;
}

function resourceInfo(resourceType: string, resourceName: string, description: string) {
  return {
    desc: ResourceInfoSchema,
    value: { resourceType, resourceName: resourceName.toWellFormed(), description },
  };
}

function shortened(text: string): string {
  return text.length > longestMessage ? `${text.slice(0, longestMessage - 3)}...`.toWellFormed() : text.toWellFormed();
}
