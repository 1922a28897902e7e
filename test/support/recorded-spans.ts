import { type Context, context, ROOT_CONTEXT, type Span, trace } from "@opentelemetry/api";
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { onTestFinished } from "vitest";
import { keepContexts } from "../../src/tracing/spans.ts";

/** Spans that a test's process records. */
export interface RecordedSpans {
  /** Those of a name that have ended, in that order. */
  ended(name: string): ReadableSpan[];
  /** Begins a call: a root span, and the context in which it is made. */
  call(name: string): { readonly span: Span; readonly context: Context };
}

/** Records all spans of this process until the running test ends. */
export function recordSpans(): RecordedSpans {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  keepContexts();
  trace.setGlobalTracerProvider(provider);
  onTestFinished(async () => {
    trace.disable();
    await provider.shutdown();
  });
  return {
    ended: (name) => exporter.getFinishedSpans().filter((span) => span.name === name),
    call: (name) => {
      const span = trace.getTracer("test").startSpan(name, {}, ROOT_CONTEXT);
      return { span, context: trace.setSpan(context.active(), span) };
    },
  };
}

/** Ids of the spans that a span is linked to. */
export function linkedIds({ links }: ReadableSpan): string[] {
  return links.map((link) => link.context.spanId);
}
