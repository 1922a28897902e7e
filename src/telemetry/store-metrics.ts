import { Gauge, Histogram, type Registry } from "prom-client";
import type { StoreMeter } from "./observed-store.ts";

/** In seconds. */
const callBuckets = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** Counts the calls of a store. `isInTrouble` is asked with every look. */
export function createStoreMetrics(registry: Registry, isInTrouble: () => boolean): StoreMeter {
  const registers = [registry];
  const calls = new Histogram({
    name: "longhaul_store_call_duration_seconds",
    help: "Time that calls of the store take, by call and outcome: ok, unavailable or error.",
    labelNames: ["call", "outcome"],
    buckets: callBuckets,
    registers,
  });
  new Gauge({
    name: "longhaul_store_trouble",
    help: "1 while the store cannot be written, else 0.",
    registers,
    collect() {
      this.set(isInTrouble() ? 1 : 0);
    },
  });
  return { called: (call, outcome, seconds) => calls.observe({ call, outcome }, seconds) };
}
