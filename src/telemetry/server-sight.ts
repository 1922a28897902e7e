import type { Logger } from "pino";
import type { OperationStore } from "../operations/operation-store.ts";
import type { OperationsMeter } from "../operations/operations-meter.ts";
import { noOperationsMeter } from "../operations/operations-meter.ts";
import type { RegistryActivity } from "../operations/registry-activity.ts";
import { type CallRecorder, createCallRecorder, noCallMeter } from "../rpc/call-recorder.ts";
import { keepContexts } from "../tracing/spans.ts";
import { type AdminListener, listenForAdmin } from "./admin-listener.ts";
import { noStoreMeter, observedStore } from "./observed-store.ts";
import type { ServerMetrics } from "./server-metrics.ts";
import type { TraceExport } from "./trace-export.ts";
import { type OtelEnvironment, traceSettings } from "./trace-settings.ts";

/** What watching a server needs. */
export interface ServerSightOptions {
  /** Port of /metrics; "off" for none. */
  readonly adminPort: string;
  readonly adminHost: string;
  /** Variables of OpenTelemetry. Default none: no traces are exported. */
  readonly otel?: OtelEnvironment;
  readonly serverId: string;
  readonly log: Logger;
  readonly store: OperationStore;
  /** The types that are served. */
  readonly operationTypes: Iterable<string>;
  /** URLs of the hosts that are routed to. */
  readonly hosts: Iterable<string>;
  /** What the registry has in hand; undefined before there is one. */
  readonly activity: () => RegistryActivity | undefined;
}

/** Everything through which a server is seen from outside: its log of calls, its metrics, its traces. */
export interface ServerSight {
  readonly recorder: CallRecorder;
  readonly meter: OperationsMeter;
  /** The store, with its calls counted and traced. */
  readonly store: OperationStore;
  /** Port of /metrics; undefined when it is off. */
  readonly adminPort: number | undefined;
  /** Sends the last traces, for as long as `limitMs`, and closes the admin port. Safe to repeat. */
  close(limitMs: number): Promise<void>;
}

/**
 * Begins to watch a server. What is not configured is not loaded: Prometheus only with an admin port, the SDK of
 * OpenTelemetry only with an endpoint. Rejects with an Error that names what is wrong.
 */
export async function startServerSight(options: ServerSightOptions): Promise<ServerSight> {
  const { log, store } = options;
  keepContexts();
  const traces = await startTraces(options);
  const metrics = await startMetrics(options);
  let admin: AdminListener | undefined;
  try {
    admin = metrics && (await listen(options, metrics));
  } catch (error) {
    await traces?.stop(0);
    throw error;
  }
  return {
    recorder: createCallRecorder(log, metrics?.calls ?? noCallMeter),
    meter: metrics?.operations ?? noOperationsMeter,
    store: observedStore(store, metrics?.store ?? noStoreMeter),
    adminPort: admin?.port,
    close: async (limitMs) => {
      await traces?.stop(limitMs);
      await admin?.close();
    },
  };
}

async function startTraces({ otel = {}, serverId, log }: ServerSightOptions): Promise<TraceExport | undefined> {
  const settings = traceSettings(otel);
  return settings && (await import("./trace-export.ts")).startTraceExport(settings, serverId, log);
}

async function startMetrics(options: ServerSightOptions): Promise<ServerMetrics | undefined> {
  if (options.adminPort === "off") {
    return undefined;
  }
  const { createServerMetrics } = await import("./server-metrics.ts");
  return createServerMetrics({ ...options, isStoreInTrouble: () => options.store.trouble !== undefined });
}

function listen({ adminHost, adminPort, log }: ServerSightOptions, metrics: ServerMetrics): Promise<AdminListener> {
  return listenForAdmin({ host: adminHost, port: Number(adminPort), metrics, log });
}
