import { collectDefaultMetrics, Registry } from "prom-client";
import type { OperationsMeter } from "../operations/operations-meter.ts";
import type { CallMeter } from "../rpc/call-recorder.ts";
import { createCallMetrics } from "./call-metrics.ts";
import type { StoreMeter } from "./observed-store.ts";
import { createOperationMetrics, type OperationMetricsOptions } from "./operation-metrics.ts";
import { createStoreMetrics } from "./store-metrics.ts";

/** What the metrics of a server are read from when somebody asks. */
export interface ServerMetricsOptions extends OperationMetricsOptions {
  readonly isStoreInTrouble: () => boolean;
}

/** Everything a server counts. */
export interface ServerMetrics {
  readonly calls: CallMeter;
  readonly operations: OperationsMeter;
  readonly store: StoreMeter;
  /** MIME type of the page. */
  readonly contentType: string;
  /** All metrics in the text format of Prometheus. */
  page(): Promise<string>;
}

/**
 * Makes the metrics of one server, with a registry of its own. Those of the process (CPU, memory, garbage collection,
 * event loop delay) have the names that Node.js dashboards expect.
 */
export function createServerMetrics(options: ServerMetricsOptions): ServerMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return {
    calls: createCallMetrics(registry),
    operations: createOperationMetrics(registry, options),
    store: createStoreMetrics(registry, options.isStoreInTrouble),
    contentType: registry.contentType,
    page: () => registry.metrics(),
  };
}
