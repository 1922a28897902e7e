import type { DescMethod } from "@bufbuild/protobuf";
import {
  ConnectError,
  type Interceptor,
  type StreamRequest,
  type StreamResponse,
  type UnaryRequest,
} from "@connectrpc/connect";
import {
  type Context,
  context,
  isSpanContextValid,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  type SpanOptions,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { Code } from "../../gen/google/rpc/code_pb.ts";
import { codeName } from "../operations/code-name.ts";
import { areSpansRecorded, tracer } from "../tracing/spans.ts";
import { traceContextFrom, unrecordedSpan } from "../tracing/trace-context.ts";
import { type CallRecorder, type RecordedCall, type RecordedMethod, recordedMethod, seenKey } from "./call-recorder.ts";
import { callSubject } from "./call-subject.ts";
import { callerKey } from "./caller.ts";
import { FastCall } from "./fast-lane/fast-call.ts";

type Protocol = RecordedCall["protocol"];

/** A method, and what its spans begin with. */
interface SeenMethod extends RecordedMethod {
  readonly spanOptions: Readonly<Record<Protocol, SpanOptions>>;
}

/** Codes that make the span of a served call an error (OpenTelemetry, semantic conventions for gRPC). */
const spanErrors: ReadonlySet<number> = new Set([
  Code.UNKNOWN,
  Code.DEADLINE_EXCEEDED,
  Code.UNIMPLEMENTED,
  Code.INTERNAL,
  Code.UNAVAILABLE,
  Code.DATA_LOSS,
]);

/**
 * Lets every call be seen: it runs in the trace it came with, under a span of this server, and is recorded when it is
 * over. A call that came with no trace gets an id for the log, if nobody records spans.
 */
export function createSightInterceptor(recorder: CallRecorder): Interceptor {
  const methods = new Map<DescMethod, SeenMethod>();
  return (next) => async (request) => {
    const startedMs = performance.now();
    let method = methods.get(request.method);
    if (!method) {
      method = seenMethod(request.method);
      methods.set(request.method, method);
    }
    const protocol = protocolOf(request.header.get("content-type") ?? "");
    const parent = traceContextFrom(request.header);
    const span = spanOf(method, protocol, parent) ?? unrecordedSpan(request.header);
    const message = request.stream ? undefined : request.message;
    request.contextValues.set(seenKey, true);
    recorder.began(method);
    const end = (error: ConnectError | undefined, answer?: unknown) => {
      endSpan(span, error, message, answer);
      recorder.ended({
        method,
        protocol,
        durationMs: performance.now() - startedMs,
        caller: request.contextValues.get(callerKey).name,
        request: message,
        answer,
        place: span.spanContext(),
        error,
      });
    };
    try {
      const response = await context.with(trace.setSpan(parent, span), next, undefined, request);
      if (response.stream) {
        return { ...response, message: ended(response.message, end) };
      }
      // An answer that comes too late reaches nobody.
      const interruption = interruptionOf(request);
      end(
        interruption === undefined ? undefined : ConnectError.from(interruption, Code.CANCELLED as number),
        response.message,
      );
      return response;
    } catch (error) {
      end(ConnectError.from(error));
      throw error;
    }
  };
}

/** The span of a call; undefined when nobody records it and it belongs to no trace. */
function spanOf(method: SeenMethod, protocol: Protocol, parent: Context): Span | undefined {
  if (parent === ROOT_CONTEXT && !areSpansRecorded()) {
    return undefined;
  }
  const span = tracer().startSpan(method.name, method.spanOptions[protocol], parent);
  return isSpanContextValid(span.spanContext()) ? span : undefined;
}

/** Why a call has been given up, if it has; a call of the fast lane makes no signal to say so. */
function interruptionOf(request: UnaryRequest | StreamRequest): unknown {
  if (request instanceof FastCall) {
    return request.interruption;
  }
  return request.signal.aborted ? request.signal.reason : undefined;
}

/** The messages of a stream; `end` is told when they are over. */
async function* ended<T extends StreamResponse["message"]>(messages: T, end: (error?: ConnectError) => void) {
  let failure: ConnectError | undefined;
  try {
    yield* messages;
  } catch (error) {
    failure = ConnectError.from(error);
    throw error;
  } finally {
    end(failure);
  }
}

function seenMethod(desc: DescMethod): SeenMethod {
  const method = recordedMethod(desc);
  const options = (system: string): SpanOptions => ({
    kind: SpanKind.SERVER,
    attributes: { "rpc.system.name": system, "rpc.method": method.name },
  });
  const grpc = options("grpc");
  return { ...method, spanOptions: { grpc, "grpc-web": grpc, connect: options("connectrpc") } };
}

function endSpan(span: Span, error: ConnectError | undefined, request: unknown, answer: unknown): void {
  if (span.isRecording()) {
    const { operationId } = callSubject(request, answer);
    const code = codeName(error?.code ?? Code.OK);
    span.setAttribute("rpc.status_code", code);
    if (operationId !== undefined) {
      span.setAttribute("longhaul.operation_id", operationId);
    }
    if (error && spanErrors.has(error.code)) {
      span.setAttribute("error.type", code);
      span.setStatus({ code: SpanStatusCode.ERROR, message: error.rawMessage });
    }
  }
  span.end();
}

function protocolOf(contentType: string): Protocol {
  if (!contentType.startsWith("application/grpc")) {
    return "connect";
  }
  return contentType.startsWith("application/grpc-web") ? "grpc-web" : "grpc";
}
