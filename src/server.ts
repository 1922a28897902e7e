import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { AccessControl } from "./access/access-control.ts";
import { refuseExposure } from "./access/exposure.ts";
import { CancellationCoordinator } from "./cancellation/cancellation-coordinator.ts";
import type { Config } from "./config.ts";
import { HostCalls } from "./hosts/host-calls.ts";
import { type Listener, listen } from "./listener/listener.ts";
import { tlsFromSettings } from "./listener/listener-tls.ts";
import type { OperationExecutor } from "./operations/operation-executor.ts";
import { OperationsService } from "./operations/operations-service.ts";
import { soleStanding } from "./operations/standing.ts";
import type { ServiceOrchestrator } from "./orchestrator/service-orchestrator.ts";
import type { InstanceStore } from "./replicas/instance-store.ts";
import type { Membership } from "./replicas/membership.ts";
import { createEdge } from "./rpc/edge.ts";
import { createEntrance } from "./rpc/entrance.ts";
import { HealthState } from "./rpc/health-state.ts";
import { openStore } from "./store/open-store.ts";
import { createServerLog } from "./telemetry/server-log.ts";
import { startServerSight } from "./telemetry/server-sight.ts";

/** What a server may be given beside its configuration. */
export interface ServerParts {
  /** Orchestrators to serve. Default: those of the module that `config.services` names. */
  readonly orchestrators?: readonly ServiceOrchestrator[];
  /** Default: `createServerLog(config.logLevel)`, JSON lines on standard error. */
  readonly log?: Logger;
  /** The clock, in milliseconds since the epoch. Default: Date.now. */
  readonly now?: () => number;
}

/** A server that is up. */
export interface Server {
  /** Where it listens, "http://127.0.0.1:50051"; https with TLS. */
  readonly url: string;
  readonly port: number;
  /** Where it serves metrics; undefined when it does not. */
  readonly adminUrl: string | undefined;
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
/** Part of it that the last traces get to be sent. */
const flushShare = 0.1;
/** Addresses that mean every one of the machine's. */
const isWildcard = /^(0\.0\.0\.0|::|\*)$/;

/**
 * Puts a server together and starts it: store, registry, orchestrators, hosts, port. The only place that knows all of
 * them. Rejects with an Error that names what is wrong, and leaves nothing open then.
 */
export async function startServer(config: Config, parts: ServerParts = {}): Promise<Server> {
  const { log = createServerLog(config.logLevel) } = parts;
  refuseExposure(config);
  const accessControl = await createAccess(config, parts, log);
  const orchestrators = parts.orchestrators ?? (await servedByModule(config.services));
  const undo = new AsyncDisposableStack();
  try {
    const health = new HealthState();
    const { store: plainStore, instances } = await openStore(config, (reason) => {
      health.setStoreWorks(reason === undefined);
      tellTrouble(log, reason);
    });
    undo.defer(() => plainStore.close());
    const coordinator = new CancellationCoordinator();
    undo.defer(() => coordinator.close());
    const serverId = randomUUID();
    const hostCalls = await HostCalls.create(config, serverId, log);
    undo.defer(() => hostCalls.close());
    const executors = await executorsByType(config, orchestrators, hostCalls, log);
    let registry: OperationsService | undefined;
    const sight = await startServerSight({
      ...config,
      serverId,
      log,
      store: plainStore,
      operationTypes: executors.keys(),
      hosts: config.routes.map(({ url }) => url),
      activity: () => registry?.activity,
    });
    undo.defer(() => sight.close(config.shutdownGraceMs * flushShare));
    const entrance = createEntrance();
    const tls = await tlsFromSettings(config, log);
    const listener = await listen(entrance.handler, {
      streamHandler: entrance.streamHandler,
      host: config.listenHost,
      port: config.port,
      limits: config,
      tls,
      log,
    });
    undo.defer(() => listener.close(config.shutdownGraceMs * (1 - drainShare - flushShare)));
    const url = serverUrl(listener, config.listenHost);
    const membership =
      instances && (await createMembership({ config, parts, instances, hostCalls, executors, listener, log }));
    if (membership) {
      await membership.enter();
      undo.defer(() => membership.leave());
    }
    const now = membership ? () => membership.now() : (parts.now ?? Date.now);
    const operations = new OperationsService({
      store: sight.store,
      standing: membership ?? soleStanding(serverId),
      coordinator,
      executors,
      executorForHost: async (hostUrl) => (await hostCalls.open()).pool.executor(hostUrl),
      log,
      options: { ...config, now },
      meter: sight.meter,
    });
    registry = operations;
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
    const stopping = new AbortController();
    setMaxListeners(0, stopping.signal);
    entrance.open(
      createEdge({
        operations,
        accessControl,
        serverId,
        health,
        stopping: stopping.signal,
        log,
        recorder: sight.recorder,
        options: config,
      }),
    );
    undo.defer(async () => {
      // New connections are still taken: other servers ask for what runs here until it has ended.
      listener.drain();
      for (const orchestrator of orchestrators) {
        orchestrator.stop();
      }
      await operations.drain("the server is stopping", config.shutdownGraceMs * drainShare);
      // No call begins any more that would only be refused. Waiters are answered, and streams end, before the
      // connections go.
      listener.stopAccepting();
      await operations.close();
      stopping.abort();
      for (const orchestrator of orchestrators) {
        orchestrator.close();
      }
    });
    let stopped: Promise<void> | undefined;
    return {
      url,
      port: listener.port,
      adminUrl:
        sight.adminPort === undefined
          ? undefined
          : serverUrl({ isSecure: false, port: sight.adminPort }, config.adminHost),
      operations,
      stop: ({ drainGraceMs = config.drainGraceMs } = {}) => {
        stopped ??= leave(health, drainGraceMs).then(() => undo.disposeAsync());
        return stopped;
      },
    };
  } catch (error) {
    await undo.disposeAsync();
    throw error;
  }
}

/** Tells balancers to go elsewhere, and gives them the time to notice. */
async function leave(health: HealthState, graceMs: number): Promise<void> {
  health.leave();
  if (graceMs > 0) {
    await delay(graceMs);
  }
}

/** The orchestrators of a module; loaded only where one is named. */
async function servedByModule(module: string): Promise<readonly ServiceOrchestrator[]> {
  if (module === "") {
    return [];
  }
  const { loadServices } = await import("./orchestrator/load-services.ts");
  return loadServices(module);
}

/** This server's place among those that share its store; what that takes is loaded only where they can be several. */
async function createMembership(from: {
  readonly config: Config;
  readonly parts: ServerParts;
  readonly instances: InstanceStore;
  readonly hostCalls: HostCalls;
  readonly executors: ReadonlyMap<string, OperationExecutor>;
  readonly listener: Listener;
  readonly log: Logger;
}): Promise<Membership> {
  const { Membership } = await import("./replicas/membership.ts");
  const { PeerLinks } = await import("./replicas/peer-links.ts");
  const { options } = await from.hostCalls.open();
  const { listenHost, advertiseUrl, leaseMs, pullTimeoutMs } = from.config;
  const reachableHost = isWildcard.test(listenHost) ? hostname() : listenHost;
  return new Membership({
    instances: from.instances,
    links: new PeerLinks(options),
    url: advertiseUrl || serverUrl(from.listener, reachableHost),
    operationTypes: [...from.executors.keys()],
    leaseMs,
    confirmTimeoutMs: pullTimeoutMs,
    log: from.log,
    ...(from.parts.now && { wallNow: from.parts.now }),
  });
}

/**
 * Who may do what; undefined on servers that ask nobody who they are. Only where callers are asked it is loaded: what
 * reads policies and tokens is large.
 */
async function createAccess(
  config: Config,
  { now = Date.now }: ServerParts,
  log: Logger,
): Promise<AccessControl | undefined> {
  const { jwtIssuer: issuer, jwtAudience: audience, jwtAlgorithms, accessPolicyFile } = config;
  if (accessPolicyFile === "") {
    return undefined;
  }
  const { createAccessControl } = await import("./access/access-control.ts");
  const jwt = { issuer, audience, algorithms: jwtAlgorithms.split(",") };
  return createAccessControl({ ...config, jwt, log, now });
}

function tellTrouble(log: Logger, reason: string | undefined): void {
  if (reason === undefined) {
    log.info("the store can be used again");
  } else {
    log.error({ reason }, "the store cannot be used; reads go on from memory, writes are refused");
  }
}

function serverUrl({ isSecure, port }: Pick<Listener, "isSecure" | "port">, host: string): string {
  return `${isSecure ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Who runs each type: the orchestrator that serves it, unless the environment routes it to a host. */
async function executorsByType(
  config: Config,
  orchestrators: readonly ServiceOrchestrator[],
  hostCalls: HostCalls,
  log: Logger,
): Promise<Map<string, OperationExecutor>> {
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
    const { pool } = await hostCalls.open();
    executors.set(operationType, pool.executor(url));
  }
  return executors;
}
