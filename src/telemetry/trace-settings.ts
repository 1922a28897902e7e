/** Environment variables of OpenTelemetry, OTEL_*, as they are set. */
export type OtelEnvironment = Readonly<Record<string, string>>;

/** How traces are sampled and where they go. */
export interface TraceSettings {
  /** Where spans are posted to, http or https. */
  readonly url: string;
  readonly sampler: { readonly kind: SamplerKind; readonly isParentBased: boolean; readonly ratio: number };
  /** Attributes of this process, "service.name" among them. */
  readonly resource: Readonly<Record<string, string>>;
  /** Settings of the queue of spans; unset ones are the SDK's. Times are in milliseconds. */
  readonly queue: Readonly<Record<QueueKey, number | undefined>>;
  /** Variables that are set and have no effect here. */
  readonly ignored: readonly string[];
}

/** What decides about traces that begin here. */
export type SamplerKind = "always_on" | "always_off" | "traceidratio";

type QueueKey = "scheduledDelayMillis" | "exportTimeoutMillis" | "maxQueueSize" | "maxExportBatchSize";

const queueVariables: Readonly<Record<QueueKey, string>> = {
  scheduledDelayMillis: "OTEL_BSP_SCHEDULE_DELAY",
  exportTimeoutMillis: "OTEL_BSP_EXPORT_TIMEOUT",
  maxQueueSize: "OTEL_BSP_MAX_QUEUE_SIZE",
  maxExportBatchSize: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
};

/** The exporter reads these itself, each also with TRACES_ after OTLP_. */
const exporterVariable =
  /^OTEL_EXPORTER_OTLP_(TRACES_)?(ENDPOINT|PROTOCOL|HEADERS|TIMEOUT|COMPRESSION|CERTIFICATE|CLIENT_KEY|CLIENT_CERTIFICATE)$/;
/** Of signals other than traces: logs go to standard error, metrics to the admin port. */
const otherSignal = /^OTEL_(EXPORTER_OTLP_)?(METRICS?|LOGS?|BLRP|METRIC_EXPORT|EXPORTER_PROMETHEUS)_/;
const readHere = new Set([
  "OTEL_SDK_DISABLED",
  "OTEL_TRACES_EXPORTER",
  "OTEL_TRACES_SAMPLER",
  "OTEL_TRACES_SAMPLER_ARG",
  "OTEL_SERVICE_NAME",
  "OTEL_RESOURCE_ATTRIBUTES",
  "OTEL_PROPAGATORS",
  ...Object.values(queueVariables),
]);
const protocol = "http/protobuf";
const samplers: readonly SamplerKind[] = ["always_on", "always_off", "traceidratio"];

/**
 * Reads what OpenTelemetry's standard variables say of traces. Undefined when they are not to be exported: no endpoint
 * is set, the SDK is disabled, or the exporter is "none". Throws an Error that names the variable for what cannot be
 * done.
 */
export function traceSettings(otel: OtelEnvironment): TraceSettings | undefined {
  const url = endpoint(otel);
  const exporter = otel["OTEL_TRACES_EXPORTER"] ?? "otlp";
  if (url === undefined || otel["OTEL_SDK_DISABLED"]?.toLowerCase() === "true" || exporter === "none") {
    return undefined;
  }
  if (exporter !== "otlp") {
    throw unusable(otel, "OTEL_TRACES_EXPORTER", "otlp or none");
  }
  for (const variable of ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]) {
    const wanted = otel[variable];
    if (wanted !== undefined && wanted !== protocol) {
      throw unusable(otel, variable, `${protocol}, the only protocol that is spoken`);
    }
    if (wanted !== undefined) {
      break;
    }
  }
  const propagators = otel["OTEL_PROPAGATORS"]?.split(",").map((name) => name.trim());
  if (propagators && !propagators.includes("tracecontext")) {
    throw unusable(otel, "OTEL_PROPAGATORS", "a list with tracecontext, the only format that is spoken");
  }
  return {
    url,
    sampler: sampler(otel),
    resource: resource(otel),
    queue: queue(otel),
    ignored: Object.keys(otel).filter(
      (name) => !readHere.has(name) && !exporterVariable.test(name) && !otherSignal.test(name),
    ),
  };
}

/** The endpoint for traces as it is, or the one for all signals with the path of traces. */
function endpoint(otel: OtelEnvironment): string | undefined {
  const own = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
  const shared = "OTEL_EXPORTER_OTLP_ENDPOINT";
  const variable = otel[own] === undefined ? shared : own;
  const text = otel[variable];
  if (text === undefined) {
    return undefined;
  }
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    // Not repeated in the message: it may hold a password.
    throw new Error(`${variable} must be a URL like http://127.0.0.1:4318`);
  }
  if (variable === shared) {
    url.pathname = `${url.pathname.replace(/\/$/, "")}/v1/traces`;
  }
  return url.href;
}

function sampler(otel: OtelEnvironment): TraceSettings["sampler"] {
  const name = otel["OTEL_TRACES_SAMPLER"] ?? "parentbased_always_on";
  const isParentBased = name.startsWith("parentbased_");
  const kind = samplers.find((one) => one === (isParentBased ? name.slice("parentbased_".length) : name));
  if (!kind) {
    throw unusable(otel, "OTEL_TRACES_SAMPLER", `${samplers.join(", ")}, or one of them after parentbased_`);
  }
  const ratio = kind === "traceidratio" ? Number(otel["OTEL_TRACES_SAMPLER_ARG"] ?? "1") : 1;
  if (!(ratio >= 0 && ratio <= 1)) {
    throw unusable(otel, "OTEL_TRACES_SAMPLER_ARG", "a number from 0 to 1");
  }
  return { kind, isParentBased, ratio };
}

function resource(otel: OtelEnvironment): Record<string, string> {
  const attributes: Record<string, string> = { "service.name": "longhaul" };
  const variable = "OTEL_RESOURCE_ATTRIBUTES";
  for (const pair of (otel[variable] ?? "").split(",").filter((text) => text.trim() !== "")) {
    const [key = "", value, ...more] = pair.split("=");
    if (key.trim() === "" || value === undefined || more.length > 0) {
      throw unusable(otel, variable, "a list like key1=value1,key2=value2; , and = within are percent-encoded");
    }
    attributes[decoded(otel, variable, key)] = decoded(otel, variable, value);
  }
  const name = otel["OTEL_SERVICE_NAME"];
  return name === undefined ? attributes : { ...attributes, "service.name": name };
}

function decoded(otel: OtelEnvironment, variable: string, text: string): string {
  try {
    return decodeURIComponent(text.trim());
  } catch {
    throw unusable(otel, variable, "percent-encoded as in a URL");
  }
}

function queue(otel: OtelEnvironment): TraceSettings["queue"] {
  const number = (variable: string) => {
    const text = otel[variable];
    if (text !== undefined && !/^[1-9]\d{0,8}$/.test(text)) {
      throw unusable(otel, variable, "a whole number, at least 1");
    }
    return text === undefined ? undefined : Number(text);
  };
  return {
    scheduledDelayMillis: number(queueVariables.scheduledDelayMillis),
    exportTimeoutMillis: number(queueVariables.exportTimeoutMillis),
    maxQueueSize: number(queueVariables.maxQueueSize),
    maxExportBatchSize: number(queueVariables.maxExportBatchSize),
  };
}

function unusable(otel: OtelEnvironment, variable: string, expected: string): Error {
  return new Error(`${variable} is ${JSON.stringify(otel[variable])}; it must be ${expected}`);
}
