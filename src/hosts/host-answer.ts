import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { type OperationError, OperationErrorSchema } from "../../gen/longhaul/v1/operation_pb.ts";

/** What became of a call to a host. */
export type HostAnswer<T> =
  | { readonly outcome: "answered"; readonly value: T }
  /**
   * The host did not answer (`isSilent`), does not accept this server's credentials (`isShutOut`), or has trouble of its
   * own; asking again later may help.
   */
  | {
      readonly outcome: "unreachable";
      readonly reason: string;
      readonly isSilent: boolean;
      readonly isShutOut?: boolean;
    }
  /** The host does not know the operation. */
  | { readonly outcome: "gone"; readonly reason: string }
  /** The host does not serve the method. */
  | { readonly outcome: "unimplemented"; readonly reason: string }
  /** The host will not do it, however often it is asked. */
  | { readonly outcome: "refused"; readonly reason: string; readonly error: OperationError };

/** Codes by which a host refuses a call for good. */
const refusals: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.FailedPrecondition,
  Code.AlreadyExists,
  Code.OutOfRange,
  Code.PermissionDenied,
]);

/** Codes by which a call ends that nobody has answered. */
const silences: ReadonlySet<Code> = new Set([Code.Unavailable, Code.DeadlineExceeded, Code.Canceled, Code.Aborted]);

/**
 * Calls a host and says what became of it. A host's error never travels on as it is: it may carry headers and texts
 * that are not for this server's callers.
 */
export async function askHost<T>(url: string, call: () => Promise<T>): Promise<HostAnswer<T>> {
  try {
    return { outcome: "answered", value: await call() };
  } catch (error) {
    const failure = ConnectError.from(error);
    const { code, rawMessage } = failure;
    const reason = `host ${url}: ${rawMessage}`;
    if (code === Code.NotFound) {
      return { outcome: "gone", reason };
    }
    if (code === Code.Unimplemented) {
      return { outcome: "unimplemented", reason };
    }
    if (refusals.has(code)) {
      const info = failure.findDetails(ErrorInfoSchema)[0];
      return { outcome: "refused", reason, error: refusalError(url, code, rawMessage, info?.reason) };
    }
    if (code === Code.Unauthenticated) {
      const why = `${reason} (Unauthenticated: it does not accept the credentials of this server)`;
      return { outcome: "unreachable", reason: why, isSilent: false, isShutOut: true };
    }
    return { outcome: "unreachable", reason: `${reason} (${Code[code]})`, isSilent: silences.has(code) };
  }
}

/** Whether a host is there, but will not answer this server, or not this question. */
export function isDenial(answer: HostAnswer<unknown>): boolean {
  return answer.outcome === "unreachable"
    ? answer.isShutOut === true
    : answer.outcome === "refused" && answer.error.code === Code.PermissionDenied;
}

/** The error of an operation that its host would not take. */
export function refusalError(url: string, code: Code, message: string, reason = "HOST_REFUSED"): OperationError {
  return create(OperationErrorSchema, { code, reason, message: `host ${url} refused the operation: ${message}` });
}
