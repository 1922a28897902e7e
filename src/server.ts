import { randomUUID } from "node:crypto";
import { createRegistry } from "@bufbuild/protobuf";
import { file_google_protobuf_struct, file_google_protobuf_wrappers } from "@bufbuild/protobuf/wkt";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { type Logger, pino } from "pino";
import { file_google_rpc_error_details } from "../gen/google/rpc/error_details_pb.ts";
import { file_longhaul_v1_metrics } from "../gen/longhaul/v1/metrics_pb.ts";
import { file_longhaul_v1_operation } from "../gen/longhaul/v1/operation_pb.ts";
import { OperationsService as OperationsServiceDesc } from "../gen/longhaul/v1/operations_service_pb.ts";
import { CancellationCoordinator } from "./cancellation/cancellation-coordinator.ts";
import type { Config } from "./config.ts";
import { HostPool } from "./hosts/host-pool.ts";
import type { OperationExecutor } from "./operations/operation-executor.ts";
import { OperationsService } from "./operations/operations-service.ts";
import { loadServices } from "./orchestrator/load-services.ts";
import type { ServiceOrchestrator } from "./orchestrator/service-orchestrator.ts";
import { createEdgeInterceptor } from "./rpc/edge-interceptor.ts";
import { listen } from "./rpc/listener.ts";
import { createOperationsHandlers } from "./rpc/operations-handlers.ts";
import { openSqliteStore } from "./store/sqlite-store.ts";

/** What a server may be given beside its configuration. */
export interface ServerParts {
  /** Orchestrators to serve. Default: those of the module that `config.services` names. */
  readonly orchestrators?: readonly ServiceOrchestrator[];
  /** Default: JSON lines on standard error at `config.logLevel`. */
  readonly log?: Logger;
  /** The clock, in milliseconds since the epoch. Default: Date.now. */
  readonly now?: () => number;
}

/** A server that is up. */
export interface Server {
  /** Where it listens, "http://127.0.0.1:50051". */
  readonly url: string;
  readonly port: number;
  /** The registry itself, for calls from this process. */
  readonly operations: OperationsService;
  /** Stops within `config.shutdownGraceMs`, saves everything and frees everything. Safe to repeat. */
  stop(): Promise<void>;
}

/** Part of the shutdown grace that running operations get to stop; the rest is for connections. */
const drainShare = 0.75;

/** Types that travel in a google.protobuf.Any and so must be known for JSON. */
const anyTypes = createRegistry(
  file_google_rpc_error_details,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
  file_longhaul_v1_metrics,
  file_longhaul_v1_operation,
);

/**
 * Puts a server together and starts it: store, registry, orchestrators, hosts, port. The only place that knows all of
 * them. Rejects with an Error that names what is wrong, and leaves nothing open then.
 */
export async function startServer(config: Config, parts: ServerParts = {}): Promise<Server> {
  const { now = Date.now, log = pino({ level: config.logLevel }, pino.destination(2)) } = parts;
  const orchestrators = parts.orchestrators ?? (config.services ? await loadServices(config.services) : []);
  const undo = new AsyncDisposableStack();
  try {
    const store = await openSqliteStore(`${config.dataDir}/longhaul.sqlite`);
    undo.defer(() => store.close());
    const coordinator = new CancellationCoordinator();
    undo.defer(() => coordinator.close());
    const instanceId = randomUUID();
    const hosts = new HostPool({
      instanceId,
      callTimeoutMs: config.pullTimeoutMs,
      backoff: { firstMs: config.dispatchBackoffMs, maximumMs: config.dispatchBackoffMaxMs },
    });
    undo.defer(() => hosts.close());
    const executors = executorsByType(config, orchestrators, hosts, log);
    const operations = new OperationsService({
      store,
      coordinator,
      executors,
      executorForHost: (url) => hosts.executor(url),
      log,
      options: { ...config, now },
    });
    const routedTypes = new Set(config.routes.map(({ operationType }) => operationType));
    for (const orchestrator of orchestrators) {
      orchestrator.bind({ operations, routedTypes });
    }
    const handler = connectNodeAdapter({
      routes: (router) =>
        router.service(OperationsServiceDesc, createOperationsHandlers(operations, config.cacheTtlMs)),
      interceptors: [createEdgeInterceptor(instanceId, config.maxHops, log)],
      readMaxBytes: config.maxMessageBytes,
      writeMaxBytes: config.maxMessageBytes,
      // An unknown field is a misspelt one: a filter without its condition would match everything.
      jsonOptions: { registry: anyTypes, ignoreUnknownFields: false },
    });
    undo.defer(() => operations.close());
    await operations.start();
    const listener = await listen(handler, {
      host: config.listenHost,
      port: config.port,
      maxConcurrentStreams: config.maxConcurrentStreams,
    });
    undo.defer(() => listener.close(config.shutdownGraceMs * (1 - drainShare)));
    undo.defer(async () => {
      for (const orchestrator of orchestrators) {
        orchestrator.stop();
      }
      await operations.drain("the server is stopping", config.shutdownGraceMs * drainShare);
      // Waiters are answered before the connections go.
      await operations.close();
      for (const orchestrator of orchestrators) {
        orchestrator.close();
      }
    });
    const url = `http://${config.listenHost.includes(":") ? `[${config.listenHost}]` : config.listenHost}:${listener.port}`;
    let stopped: Promise<void> | undefined;
    return {
      url,
      port: listener.port,
      operations,
      stop: () => {
        stopped ??= undo.disposeAsync();
        return stopped;
      },
    };
  } catch (error) {
    await undo.disposeAsync();
    throw error;
  }
}

/** Who runs each type: the orchestrator that serves it, unless the environment routes it to a host. */
function executorsByType(
  config: Config,
  orchestrators: readonly ServiceOrchestrator[],
  hosts: HostPool,
  log: Logger,
): Map<string, OperationExecutor> {
  const executors = new Map<string, OperationExecutor>();
  for (const orchestrator of orchestrators) {
    for (const [type, executor] of orchestrator.executors({ ...config, log })) {
      if (executors.has(type)) {
        throw new Error(`operation type ${type} is served by two orchestrators`);
      }
      executors.set(type, executor);
    }
  }
  for (const { operationType, url } of config.routes) {
    executors.set(operationType, hosts.executor(url));
  }
  return executors;
}
