import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { type ConnectError, createContextKey } from "@connectrpc/connect";
import type { SpanContext } from "@opentelemetry/api";
import type { Logger } from "pino";
import { Code } from "../../gen/google/rpc/code_pb.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { codeName } from "../operations/code-name.ts";
import { type CallSubject, callSubject } from "./call-subject.ts";

/** Counts calls. */
export interface CallMeter {
  /** A call of a served method, "longhaul.v1.OperationsService/GetOperation", has begun. */
  began(method: string): void;
  /** It was answered, with a code by name. */
  ended(method: string, code: string, seconds: number): void;
  /** A call was refused before anybody saw it. `method` is undefined when there is none of its path. */
  refused(method: string | undefined, code: string): void;
}

/** Set of a call that the interceptors see, and so record, whatever becomes of it afterwards. */
export const seenKey = createContextKey(false, { description: "the call is recorded when it is over" });

/** Counts nothing. */
export const noCallMeter: CallMeter = { began: () => {}, ended: () => {}, refused: () => {} };

/** A method as those who record calls need it. */
export interface RecordedMethod {
  /** "longhaul.v1.OperationsService/GetOperation" */
  readonly name: string;
  /** It changes nothing. */
  readonly isRead: boolean;
}

/** A call that is over. */
export interface RecordedCall {
  readonly method: RecordedMethod;
  readonly protocol: "grpc" | "grpc-web" | "connect";
  readonly durationMs: number;
  readonly caller: string;
  /** Its messages, for those who write down which operations it was about. Undefined where it had none, or a stream. */
  readonly request: unknown;
  readonly answer: unknown;
  /** Where in its trace the call is. */
  readonly place: SpanContext;
  /** Undefined when it was answered. */
  readonly error: ConnectError | undefined;
}

/** A call that ended without the interceptors. */
export interface RefusedCall {
  /** "/longhaul.v1.OperationsService/GetOperation", as the caller wrote it. */
  readonly path: string;
  /** Unset when there is no method of that path. */
  readonly method?: string;
  readonly error: ConnectError;
}

/** Writes down every call. */
export interface CallRecorder {
  began(method: RecordedMethod): void;
  ended(call: RecordedCall): void;
  /** For calls that are refused before the interceptors, as malformed or of an unknown method. */
  refused(call: RefusedCall): void;
}

/** Codes by which the server says that it is at fault. */
const faults: ReadonlySet<number> = new Set([Code.UNKNOWN, Code.INTERNAL, Code.DATA_LOSS]);
/** Methods of standard services, whose protos do not say that they only read. */
const readName = /^(Get|List|Wait|Check|Watch|ServerReflectionInfo)/;
/** Characters of what a caller wrote that are logged. */
const longestText = 200;

/**
 * Makes a recorder that counts calls and logs a line for each: reads that were answered, or whose caller left, at debug,
 * for pollers are many; changes and refusals at info; the server's own trouble at warn, and its faults at error.
 */
export function createCallRecorder(log: Logger, meter: CallMeter): CallRecorder {
  // These lines have no field of a name that is redacted, and to look for one costs more than the rest of the line.
  const lines = log.child({}, { redact: [] });
  const write = (level: ReturnType<typeof levelOf>, line: object) => lines[level](line, "call");
  return {
    began: ({ name }) => meter.began(name),
    ended: ({ method, protocol, durationMs, caller, request, answer, place, error }) => {
      const code = codeName(error?.code ?? Code.OK);
      meter.ended(method.name, code, durationMs / 1_000);
      const level = levelOf(error, method.isRead);
      if (log.isLevelEnabled(level)) {
        write(level, {
          method: method.name,
          protocol,
          code,
          durationMs: Math.round(durationMs * 100) / 100,
          caller,
          ...shortened(callSubject(request, answer)),
          ...refusal(error),
          trace_id: place.traceId,
          span_id: place.spanId,
        });
      }
    },
    refused: ({ path, method, error }) => {
      const name = path.slice(1, longestText);
      meter.refused(method === undefined ? undefined : name, codeName(error.code));
      write(levelOf(error, false), { method: name, code: codeName(error.code), ...refusal(error) });
    },
  };
}

/** A method as it is recorded. */
export function recordedMethod({ parent, name, idempotency }: DescMethod): RecordedMethod {
  const isRead = idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS || readName.test(name);
  return { name: `${parent.typeName}/${name}`, isRead };
}

function levelOf(error: ConnectError | undefined, isRead: boolean): "debug" | "info" | "warn" | "error" {
  if (!error || (isRead && error.code === (Code.CANCELLED as number))) {
    return isRead ? "debug" : "info";
  }
  if (faults.has(error.code)) {
    return "error";
  }
  return (error.code as number) === Code.UNAVAILABLE ? "warn" : "info";
}

function refusal(error: ConnectError | undefined): { reason?: string; message?: string } {
  const reason = error?.findDetails(ErrorInfoSchema)[0]?.reason;
  return { ...(reason && { reason }), ...(error && { message: error.rawMessage.slice(0, longestText) }) };
}

function shortened({ operationId, newOperationId, count }: CallSubject): CallSubject {
  return {
    ...(operationId && { operationId: operationId.slice(0, longestText) }),
    ...(newOperationId && { newOperationId }),
    ...(count !== undefined && { count }),
  };
}
