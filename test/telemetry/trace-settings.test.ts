import { describe, expect, test } from "vitest";
import { traceSettings } from "../../src/telemetry/trace-settings.ts";

const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" };

describe("traces are exported", () => {
  test.each([
    ["to the shared endpoint under the path of traces", endpoint, "http://collector:4318/v1/traces"],
    [
      "below the path that the shared endpoint has",
      { OTEL_EXPORTER_OTLP_ENDPOINT: "https://collector/otlp/" },
      "https://collector/otlp/v1/traces",
    ],
    [
      "to their own endpoint as it is",
      { ...endpoint, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://traces:4318/in" },
      "http://traces:4318/in",
    ],
  ])("%s", (_, otel, url) => {
    expect(traceSettings(otel)).toMatchObject({
      url,
      sampler: { kind: "always_on", isParentBased: true, ratio: 1 },
      resource: { "service.name": "longhaul" },
      ignored: [],
    });
  });

  test.each([
    ["without an endpoint", { OTEL_SERVICE_NAME: "x" }],
    ["with the SDK disabled", { ...endpoint, OTEL_SDK_DISABLED: "True" }],
    ["with another exporter for none", { ...endpoint, OTEL_TRACES_EXPORTER: "none" }],
    [
      "with the SDK disabled, whatever else is wrong",
      { ...endpoint, OTEL_SDK_DISABLED: "true", OTEL_TRACES_SAMPLER: "x" },
    ],
  ])("not %s", (_, otel) => {
    expect(traceSettings(otel)).toBeUndefined();
  });
});

test("sampling, names and the queue are as the variables say", () => {
  const settings = traceSettings({
    ...endpoint,
    OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
    OTEL_TRACES_SAMPLER_ARG: "0.25",
    OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=prod, team=a%2Cb,service.name=other",
    OTEL_SERVICE_NAME: "gateway",
    OTEL_BSP_SCHEDULE_DELAY: "100",
  });
  expect(settings?.sampler).toEqual({ kind: "traceidratio", isParentBased: true, ratio: 0.25 });
  expect(settings?.resource).toEqual({
    "deployment.environment.name": "prod",
    team: "a,b",
    "service.name": "gateway",
  });
  expect(settings?.queue.scheduledDelayMillis).toBe(100);
});

test("the protocol of traces counts before the shared one", () => {
  const otel = {
    ...endpoint,
    OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "http/protobuf",
  };
  expect(traceSettings(otel)).toBeDefined();
});

test.each([
  ["OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"],
  ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"],
  ["OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"],
  ["OTEL_TRACES_EXPORTER", "zipkin"],
  ["OTEL_TRACES_SAMPLER", "jaeger_remote"],
  ["OTEL_TRACES_SAMPLER_ARG", "2"],
  ["OTEL_RESOURCE_ATTRIBUTES", "no-value"],
  ["OTEL_RESOURCE_ATTRIBUTES", "key=%zz"],
  ["OTEL_PROPAGATORS", "b3"],
  ["OTEL_BSP_MAX_QUEUE_SIZE", "0"],
])("%s cannot be %s, and the error names it", (variable, value) => {
  const otel = { ...endpoint, OTEL_TRACES_SAMPLER: "traceidratio", [variable]: value };
  expect(() => traceSettings(otel)).toThrow(variable);
});

test("variables that have no effect are told, those of other signals are not", () => {
  const otel = {
    ...endpoint,
    OTEL_SPAN_LINK_COUNT_LIMIT: "1",
    OTEL_LOGS_EXPORTER: "none",
    OTEL_METRICS_EXPORTER: "none",
  };
  expect(traceSettings(otel)?.ignored).toEqual(["OTEL_SPAN_LINK_COUNT_LIMIT"]);
});
