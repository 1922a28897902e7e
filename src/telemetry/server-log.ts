import { context, trace } from "@opentelemetry/api";
import { type DestinationStream, type Logger, pino } from "pino";

/** Fields of logged objects that may hold a secret; of errors of the protocol layer, the headers of an answer. */
const secretFields = [
  "authorization",
  "Authorization",
  "cookie",
  "Cookie",
  "set-cookie",
  "password",
  "token",
  "secret",
];
const secretPaths = secretFields.flatMap((field) => {
  const key = field.includes("-") ? `["${field}"]` : `.${field}`;
  return [key.replace(/^\./, ""), `*${key}`, `*.*${key}`];
});

/**
 * The log of a server: JSON lines, by default on standard error. Lines that belong to a call have its `trace_id` and
 * `span_id`; fields that may hold a secret are shown as [Redacted].
 */
export function createServerLog(level: string, destination: DestinationStream = pino.destination(2)): Logger {
  return pino(
    {
      level,
      redact: [...secretPaths, "err.metadata", "*.err.metadata"],
      mixin: () => {
        const spanContext = trace.getSpanContext(context.active());
        return spanContext ? { trace_id: spanContext.traceId, span_id: spanContext.spanId } : {};
      },
    },
    destination,
  );
}
