import { Counter, Gauge, type Registry } from "prom-client";
import type { CallMeter } from "../rpc/call-recorder.ts";
import { createDurationHistogram, type ObservedDurations } from "./duration-histogram.ts";

/** What stands for every method that is not served. */
const unknownMethod = "other";
/** In seconds, up to the longest WaitOperation. */
const durationBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** The calls of one method. */
interface Tally {
  readonly labels: { readonly method: string };
  inFlight: number;
  readonly byCode: Map<string, number>;
  /** Undefined until the first one has ended. */
  durations: ObservedDurations | undefined;
}

/** Counts calls: rate, errors and duration by method. */
export function createCallMetrics(registry: Registry): CallMeter {
  const registers = [registry];
  // Calls are many and collections are few: what is only counted is handed over when somebody collects it.
  const tallies = new Map<string, Tally>();
  const tallyOf = (method: string) => {
    let tally = tallies.get(method);
    if (!tally) {
      tally = { labels: { method }, inFlight: 0, byCode: new Map(), durations: undefined };
      tallies.set(method, tally);
    }
    return tally;
  };
  const count = ({ byCode }: Tally, code: string) => byCode.set(code, (byCode.get(code) ?? 0) + 1);
  new Counter({
    name: "longhaul_rpc_requests_total",
    help: 'Calls that were answered, by method ("other" when there is no such method) and code.',
    labelNames: ["method", "code"],
    registers,
    collect() {
      this.reset();
      for (const { labels, byCode } of tallies.values()) {
        for (const [code, calls] of byCode) {
          this.inc({ ...labels, code }, calls);
        }
      }
    },
  });
  const durationsOf = createDurationHistogram(registry, {
    name: "longhaul_rpc_request_duration_seconds",
    help: "Time from the arrival of a call to its answer, by method. WaitOperation waits on purpose.",
    label: "method",
    buckets: durationBuckets,
  });
  new Gauge({
    name: "longhaul_rpc_requests_in_flight",
    help: "Calls that have arrived and are not answered yet, by method.",
    labelNames: ["method"],
    registers,
    collect() {
      for (const { labels, inFlight } of tallies.values()) {
        this.set(labels, inFlight);
      }
    },
  });
  return {
    began: (method) => {
      tallyOf(method).inFlight += 1;
    },
    ended: (method, code, seconds) => {
      const tally = tallyOf(method);
      tally.inFlight -= 1;
      count(tally, code);
      tally.durations ??= durationsOf(method);
      tally.durations.observe(seconds);
    },
    refused: (method = unknownMethod, code) => count(tallyOf(method), code),
  };
}
