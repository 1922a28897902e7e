import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { CallMeter } from "../rpc/call-recorder.ts";

/** What stands for every method that is not served. */
const unknownMethod = "other";
/** In seconds, up to the longest WaitOperation. */
const durationBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Counts calls: rate, errors and duration by method. */
export function createCallMetrics(registry: Registry): CallMeter {
  const registers = [registry];
  const requests = new Counter({
    name: "longhaul_rpc_requests_total",
    help: 'Calls that were answered, by method ("other" when there is no such method) and code.',
    labelNames: ["method", "code"],
    registers,
  });
  const duration = new Histogram({
    name: "longhaul_rpc_request_duration_seconds",
    help: "Time from the arrival of a call to its answer, by method. WaitOperation waits on purpose.",
    labelNames: ["method"],
    buckets: durationBuckets,
    registers,
  });
  const inFlight = new Gauge({
    name: "longhaul_rpc_requests_in_flight",
    help: "Calls that have arrived and are not answered yet, by method.",
    labelNames: ["method"],
    registers,
  });
  return {
    began: (method) => inFlight.inc({ method }),
    ended: (method, code, seconds) => {
      inFlight.dec({ method });
      requests.inc({ method, code });
      duration.observe({ method }, seconds);
    },
    refused: (method = unknownMethod, code) => requests.inc({ method, code }),
  };
}
