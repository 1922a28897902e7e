import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { type Logger, pino } from "pino";
import { CancellationCoordinator } from "./cancellation/cancellation-coordinator.ts";
import type { Config } from "./config.ts";
import { HostPool, type HostPoolOptions } from "./hosts/host-pool.ts";
import { type Listener, listen } from "./listener/listener.ts";
import { tlsFromSettings } from "./listener/listener-tls.ts";
import type { OperationExecutor } from "./operations/operation-executor.ts";
import { OperationsService } from "./operations/operations-service.ts";
import { soleStanding } from "./operations/standing.ts";
import { loadServices } from "./orchestrator/load-services.ts";
import type { ServiceOrchestrator } from "./orchestrator/service-orchestrator.ts";
import type { InstanceStore } from "./replicas/instance-store.ts";
import { Membership } from "./replicas/membership.ts";
import { PeerLinks } from "./replicas/peer-links.ts";
import { createEdge } from "./rpc/edge.ts";
import { createEntrance } from "./rpc/entrance.ts";
import { openStore } from "./store/open-store.ts";

/** What a server may be given beside its configuration. */
export interface ServerParts {
  /** Orchestrators to serve. Default: those of the module that `config.services` names. */
  readonly orchestrators?: readonly ServiceOrchestrator[];
  /** Default: JSON lines on standard error at `config.logLevel`. */
  readonly log?: Logger;
  /** The clock, in milliseconds since the epoch. Default: Date.now. */
  readonly now?: () => number;
  /** Called when the stop begins, while everything is still served: balancers are to be told. Default nothing. */
  readonly onDraining?: () => void;
}

/** A server that is up. */
export interface Server {
  /** Where it listens, "http://127.0.0.1:50051"; https with TLS. */
  readonly url: string;
  readonly port: number;
  /** The registry itself, for calls from this process. */
  readonly operations: OperationsService;
  /**
   * Goes on for `config.drainGraceMs`, so that balancers can notice, then stops within `config.shutdownGraceMs`, saves
   * everything and frees everything. Safe to repeat.
   */
  stop(options?: { readonly drainGraceMs?: number }): Promise<void>;
}

/** Part of the shutdown grace that running operations get to stop; the rest is for connections. */
const drainShare = 0.75;
/** Addresses that mean every one of the machine's. */
const isWildcard = /^(0\.0\.0\.0|::|\*)$/;

/**
 * Puts a server together and starts it: store, registry, orchestrators, hosts, port. The only place that knows all of
 * them. Rejects with an Error that names what is wrong, and leaves nothing open then.
 */
export async function startServer(config: Config, parts: ServerParts = {}): Promise<Server> {
  const { log = pino({ level: config.logLevel }, pino.destination(2)) } = parts;
  const orchestrators = parts.orchestrators ?? (config.services ? await loadServices(config.services) : []);
  const undo = new AsyncDisposableStack();
  try {
    const { store, instances } = await openStore(config, (reason) => tellTrouble(log, reason));
    undo.defer(() => store.close());
    const coordinator = new CancellationCoordinator();
    undo.defer(() => coordinator.close());
    const serverId = randomUUID();
    const calls: HostPoolOptions = {
      serverId,
      callTimeoutMs: config.pullTimeoutMs,
      backoff: { firstMs: config.dispatchBackoffMs, maximumMs: config.dispatchBackoffMaxMs },
    };
    const hosts = new HostPool(calls);
    undo.defer(() => hosts.close());
    const executors = executorsByType(config, orchestrators, hosts, log);
    const entrance = createEntrance();
    const tls = await tlsFromSettings(config, log);
    const listener = await listen(entrance.handler, {
      host: config.listenHost,
      port: config.port,
      limits: config,
      tls,
      log,
    });
    undo.defer(() => listener.close(config.shutdownGraceMs * (1 - drainShare)));
    const url = serverUrl(listener, config.listenHost);
    const membership = instances && createMembership({ config, parts, instances, calls, executors, listener, log });
    if (membership) {
      await membership.enter();
      undo.defer(() => membership.leave());
    }
    const now = membership ? () => membership.now() : (parts.now ?? Date.now);
    const operations = new OperationsService({
      store,
      standing: membership ?? soleStanding(serverId),
      coordinator,
      executors,
      executorForHost: (hostUrl) => hosts.executor(hostUrl),
      log,
      options: { ...config, now },
    });
    undo.defer(() => operations.close());
    const routedTypes = new Set(config.routes.map(({ operationType }) => operationType));
    for (const orchestrator of orchestrators) {
      orchestrator.bind({ operations, routedTypes });
    }
    membership?.start({
      renewed: () => operations.succession.takeRequests(),
      struckOff: () => operations.abandon(),
      othersGone: () => operations.succession.othersGone(),
    });
    await operations.start();
    entrance.open(createEdge({ operations, serverId, log, options: config }));
    undo.defer(async () => {
      // New connections are still taken: other servers ask for what runs here until it has ended.
      listener.drain();
      for (const orchestrator of orchestrators) {
        orchestrator.stop();
      }
      await operations.drain("the server is stopping", config.shutdownGraceMs * drainShare);
      // No call begins any more that would only be refused. Waiters are answered before the connections go.
      listener.stopAccepting();
      await operations.close();
      for (const orchestrator of orchestrators) {
        orchestrator.close();
      }
    });
    let stopped: Promise<void> | undefined;
    return {
      url,
      port: listener.port,
      operations,
      stop: ({ drainGraceMs = config.drainGraceMs } = {}) => {
        stopped ??= drained(drainGraceMs, parts.onDraining).then(() => undo.disposeAsync());
        return stopped;
      },
    };
  } catch (error) {
    await undo.disposeAsync();
    throw error;
  }
}

async function drained(graceMs: number, onDraining: (() => void) | undefined): Promise<void> {
  onDraining?.();
  if (graceMs > 0) {
    await delay(graceMs);
  }
}

/** This server's place among those that share its store. */
function createMembership(from: {
  readonly config: Config;
  readonly parts: ServerParts;
  readonly instances: InstanceStore;
  readonly calls: HostPoolOptions;
  readonly executors: ReadonlyMap<string, OperationExecutor>;
  readonly listener: Listener;
  readonly log: Logger;
}): Membership {
  const { listenHost, advertiseUrl, leaseMs, pullTimeoutMs } = from.config;
  const reachableHost = isWildcard.test(listenHost) ? hostname() : listenHost;
  return new Membership({
    instances: from.instances,
    links: new PeerLinks(from.calls),
    url: advertiseUrl || serverUrl(from.listener, reachableHost),
    operationTypes: [...from.executors.keys()],
    leaseMs,
    confirmTimeoutMs: pullTimeoutMs,
    log: from.log,
    ...(from.parts.now && { wallNow: from.parts.now }),
  });
}

function tellTrouble(log: Logger, reason: string | undefined): void {
  if (reason === undefined) {
    log.info("the store can be used again");
  } else {
    log.error({ reason }, "the store cannot be used; reads go on from memory, writes are refused");
  }
}

function serverUrl({ isSecure, port }: Listener, host: string): string {
  return `${isSecure ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`;
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
