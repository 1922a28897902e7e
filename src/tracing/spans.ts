import {
  type Context,
  context,
  createContextKey,
  INVALID_SPAN_CONTEXT,
  isSpanContextValid,
  type Link,
  ProxyTracerProvider,
  ROOT_CONTEXT,
  type Span,
  type SpanOptions,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";

/** Links a span gets at most; what is shared by more calls names only these. */
export const maximumLinks = 32;

const linksKey = createContextKey("longhaul links");

/** Lets code find the call it runs for, unless the application has seen to that already. Safe to repeat. */
export function keepContexts(): void {
  // Asked first, because OpenTelemetry reports a second registration as an error.
  if (context.with(trace.setSpan(ROOT_CONTEXT, probe), () => trace.getActiveSpan()) !== probe) {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager());
  }
}

const noSpan = trace.wrapSpanContext(INVALID_SPAN_CONTEXT);
const probe = trace.wrapSpanContext({ traceId: "1".repeat(32), spanId: "1".repeat(16), traceFlags: 0 });

/** The tracer of the running SDK; without one, its spans carry their parent's context on and record nothing. */
export function tracer(): Tracer {
  return trace.getTracer("longhaul");
}

/**
 * Runs something under a span of its own in the current context, or in `within`. What it throws is recorded and thrown
 * on.
 */
export async function inSpan<T>(
  name: string,
  options: SpanOptions,
  run: (span: Span) => Promise<T>,
  within: Context = context.active(),
): Promise<T> {
  if (!areSpansRecorded()) {
    // A span of its own would only stand for its parent.
    const span = trace.getSpan(within) ?? noSpan;
    return within === context.active() ? run(span) : context.with(within, run, undefined, span);
  }
  const span = tracer().startSpan(name, { ...options, links: linksOf(within) }, within);
  try {
    return await context.with(trace.setSpan(within.deleteValue(linksKey), span), run, undefined, span);
  } catch (error) {
    span.recordException(error instanceof Error ? error : String(error));
    span.setStatus({ code: SpanStatusCode.ERROR });
    throw error;
  } finally {
    span.end();
  }
}

/** The context of what is done for several calls at once: the trace of one alone, or no trace and links to all. */
export function sharedContext(causes: readonly Context[]): Context {
  const spans = causes.flatMap((cause) => validSpanContext(cause) ?? []);
  const [first] = spans;
  if (!first || spans.length < causes.length || spans.some(({ traceId }) => traceId !== first.traceId)) {
    return linkedContext(causes);
  }
  return linkedContext(causes.slice(1), trace.setSpanContext(ROOT_CONTEXT, first));
}

/**
 * A context, by default of no trace, whose first span gets links to others. While no spans are recorded there is
 * nothing to link, and the first trace goes on.
 */
export function linkedContext(causes: readonly Context[], within: Context = ROOT_CONTEXT): Context {
  const links: Link[] = [];
  for (const cause of causes) {
    const spanContext = validSpanContext(cause);
    if (spanContext && links.length < maximumLinks) {
      links.push({ context: spanContext });
    }
  }
  const [first] = links;
  if (!first) {
    return within;
  }
  return areSpansRecorded() || trace.getSpanContext(within)
    ? within.setValue(linksKey, links)
    : trace.setSpanContext(within, first.context);
}

/** Whether a SDK runs that records spans, or may. */
export function areSpansRecorded(): boolean {
  const provider = trace.getTracerProvider();
  return !(provider instanceof ProxyTracerProvider) || provider.getDelegateTracer("longhaul") !== undefined;
}

/** The links that the first span in a context gets. */
export function linksOf(within: Context): Link[] {
  return (within.getValue(linksKey) as Link[] | undefined) ?? [];
}

function validSpanContext(cause: Context) {
  const spanContext = trace.getSpanContext(cause);
  return spanContext && isSpanContextValid(spanContext) ? spanContext : undefined;
}
