import { type TracerProvider as ApiTracerProvider, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import type { Logger } from "pino";
import type { TraceSettings } from "./trace-settings.ts";

/** Shortest time between two lines about a collector that does not take spans, in milliseconds. */
const complaintGapMs = 60_000;

/** Traces that are being exported. */
export interface TraceExport {
  /** Sends what is left, for as long as `limitMs`, and records nothing more. Never rejects. Safe to repeat. */
  stop(limitMs: number): Promise<void>;
}

/**
 * Begins to record spans and to export them by OTLP over HTTP. Answers undefined when the application has an SDK of its
 * own, which then gets the spans. Whatever becomes of the export, calls neither wait nor fail for it.
 */
export function startTraceExport(settings: TraceSettings, instanceId: string, log: Logger): TraceExport | undefined {
  const { url, queue, ignored } = settings;
  const exporter = complaining(new OTLPTraceExporter({ url }), url, log);
  const provider = new TracerProvider({
    sampler: samplerFrom(settings.sampler),
    resource: defaultResource().merge(
      resourceFromAttributes({ "service.instance.id": instanceId, ...settings.resource }),
    ),
    spanProcessors: [new BatchSpanProcessor({ exporter, ...definedOf(queue) })],
  });
  if (!trace.setGlobalTracerProvider(provider satisfies ApiTracerProvider)) {
    log.info("the application records its traces itself; OTEL_* variables have no effect on this server");
    return undefined;
  }
  if (ignored.length > 0) {
    log.warn({ variables: ignored }, "variables of OpenTelemetry that are not supported have no effect");
  }
  let stopped: Promise<void> | undefined;
  return {
    stop: (limitMs) => {
      stopped ??= shutDown(provider, limitMs, log);
      return stopped;
    },
  };
}

async function shutDown(provider: TracerProvider, limitMs: number, log: Logger): Promise<void> {
  trace.disable();
  const { promise: tooLate, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    log.warn("the last spans could not be exported in time");
    resolve();
  }, limitMs);
  // What cannot be exported has been complained about.
  await Promise.race([provider.shutdown().catch(() => {}), tooLate]);
  clearTimeout(timer);
}

/** An exporter that tells the log when spans are not taken, now and then. */
function complaining(exporter: SpanExporter, url: string, log: Logger): SpanExporter {
  // Of the URL, the part that cannot hold a password.
  const collector = new URL(url).host;
  let quietUntilMs = 0;
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        if (result.error && performance.now() >= quietUntilMs) {
          quietUntilMs = performance.now() + complaintGapMs;
          log.warn({ collector, problem: result.error.message, spans: spans.length }, "spans could not be exported");
        }
        done(result);
      }),
    forceFlush: async () => exporter.forceFlush?.(),
    shutdown: () => exporter.shutdown(),
  };
}

function samplerFrom({ kind, isParentBased, ratio }: TraceSettings["sampler"]): Sampler {
  const roots: Record<typeof kind, () => Sampler> = {
    always_on: () => new AlwaysOnSampler(),
    always_off: () => new AlwaysOffSampler(),
    traceidratio: () => new TraceIdRatioBasedSampler(ratio),
  };
  const root = roots[kind]();
  return isParentBased ? new ParentBasedSampler({ root }) : root;
}

function definedOf<K extends string>(values: Readonly<Record<K, number | undefined>>): Partial<Record<K, number>> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<
    Record<K, number>
  >;
}
