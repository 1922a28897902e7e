import { randomUUID } from "node:crypto";
import {
  type Context,
  createTraceState,
  isSpanContextValid,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  TraceFlags,
  trace,
} from "@opentelemetry/api";

/** Header of a call that carries the trace it belongs to (W3C Trace Context). */
export const traceparentHeader = "traceparent";
/** Header that carries what tracing systems add to that. */
export const tracestateHeader = "tracestate";
/**
 * Header of a call that belongs to no trace: an id that this server made up for its log, in the form of a trace id, so
 * that the servers behind it log the same one. No `traceparent`, for its sampling flag would decide for them what is
 * recorded.
 */
export const traceIdHeader = "longhaul-trace-id";

/** A span context that nobody records: it only carries an id for logs, which is made when somebody asks for it. */
class UnrecordedSpanContext implements SpanContext {
  readonly traceFlags = TraceFlags.NONE;
  #traceId: string | undefined;

  constructor(broughtId: string | null) {
    this.#traceId = broughtId !== null && traceIdForm.test(broughtId) ? broughtId : undefined;
  }

  get traceId(): string {
    this.#traceId ??= randomUUID().replaceAll("-", "");
    return this.#traceId;
  }

  get spanId(): string {
    return this.traceId.slice(0, 16);
  }
}

/** version, trace id, parent id, flags; a later version may add more. */
const traceparentForm = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const traceIdForm = /^[0-9a-f]{32}$/;
/** The flags of version 00 of level 2: sampled, and random trace id. */
const knownFlags = 0x03;

/** The trace context that a call came with; the root context when it came with none, or with a malformed one. */
export function traceContextFrom(headers: Pick<Headers, "get">): Context {
  const traceparent = headers.get(traceparentHeader);
  return traceparent === null ? ROOT_CONTEXT : traceContextOf(traceparent, headers.get(tracestateHeader));
}

/** The trace context of a `traceparent`; the root context when that is malformed. */
export function traceContextOf(traceparent: string, state: string | null = null): Context {
  const [, version, traceId = "", spanId = "", flags = "", more] = traceparentForm.exec(traceparent.trim()) ?? [];
  if (version === undefined || version === "ff" || (version === "00" && more !== undefined)) {
    return ROOT_CONTEXT;
  }
  const spanContext: SpanContext = {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16) & knownFlags,
    isRemote: true,
    ...(state && { traceState: createTraceState(state) }),
  };
  return isSpanContextValid(spanContext) ? trace.setSpanContext(ROOT_CONTEXT, spanContext) : ROOT_CONTEXT;
}

/**
 * What stands for the span of a call that came with no trace while none is recorded here: the id that it brought in
 * `traceIdHeader`, or a new one.
 */
export function unrecordedSpan(headers: Pick<Headers, "get">): Span {
  return trace.wrapSpanContext(new UnrecordedSpanContext(headers.get(traceIdHeader)));
}

/** The headers by which a call that is made in a context goes on with its trace; none outside of any. */
export function traceHeaders(context: Context): Readonly<Record<string, string>> {
  const spanContext = trace.getSpanContext(context);
  if (!spanContext || !isSpanContextValid(spanContext)) {
    return {};
  }
  const { traceId, spanId, traceFlags, traceState } = spanContext;
  if (spanContext instanceof UnrecordedSpanContext) {
    return { [traceIdHeader]: traceId };
  }
  const state = traceState?.serialize();
  return {
    [traceparentHeader]: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`,
    ...(state && { [tracestateHeader]: state }),
  };
}

/** The `traceparent` of a context; undefined outside of any trace. */
export function traceparentOf(context: Context): string | undefined {
  return traceHeaders(context)[traceparentHeader];
}
