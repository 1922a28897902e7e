import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.ts";
import { CallError } from "../operations/errors.ts";

/** The domain of every google.rpc.ErrorInfo this service sends. */
export const errorDomain = "longhaul";

/**
 * Turns what a handler threw into the error the caller gets: a CallError with its details, and anything else, which is
 * this server's fault, into INTERNAL without its text.
 */
export function connectErrorFrom(error: unknown): ConnectError {
  if (error instanceof CallError) {
    return callErrorToConnect(error);
  }
  if (error instanceof ConnectError) {
    // From the protocol layer itself: a malformed message, a deadline, a caller that left.
    return withErrorInfo(error, Code[error.code].replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase());
  }
  return callErrorToConnect(new CallError("INTERNAL", "internal error; the server's log has the details"));
}

function withErrorInfo(error: ConnectError, reason: string): ConnectError {
  const result = new ConnectError(error.rawMessage, error.code);
  result.details.push({ desc: ErrorInfoSchema, value: { domain: errorDomain, reason } });
  return result;
}

function callErrorToConnect(error: CallError): ConnectError {
  const { violations, operationId, retryAfterMs } = error.details;
  // google.rpc.Code and Connect's Code are the same numbers.
  const result = withErrorInfo(new ConnectError(error.message, error.code as number as Code), error.reason);
  if (error.reason === "UNAUTHENTICATED") {
    // RFC 9110, section 11.6.1: with status 401, which Connect and browsers see.
    result.metadata.set("www-authenticate", "Bearer");
  }
  if (violations) {
    result.details.push({ desc: BadRequestSchema, value: { fieldViolations: violations.map((one) => ({ ...one })) } });
  }
  if (operationId !== undefined) {
    result.details.push({
      desc: ResourceInfoSchema,
      value: { resourceType: "longhaul.v1.OperationInfo", resourceName: operationId, description: error.message },
    });
  }
  if (retryAfterMs !== undefined) {
    result.details.push({ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(retryAfterMs) } });
  }
  return result;
}
