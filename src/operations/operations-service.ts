import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { type Duration, durationFromMs } from "@bufbuild/protobuf/wkt";
import { context } from "@opentelemetry/api";
import type { Logger } from "pino";
import { type OperationError, type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  CancelOperationRequestSchema,
  CancelOperationsRequestSchema,
  CreateOperationRequestSchema,
  type OperationFilter,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { CancellationCoordinator } from "../cancellation/cancellation-coordinator.ts";
import type { CancellationToken } from "../cancellation/cancellation-token.ts";
import { ProgressBridge } from "../progress/progress-bridge.ts";
import type { ProgressUpdate } from "../progress/progress-update.ts";
import { Admission } from "./admission.ts";
import { BridgeSource } from "./bridge-source.ts";
import type { CallOrigin } from "./call-origin.ts";
import { cancelEach, cancelMatching } from "./cancel-many.ts";
import { type CancelContext, cancelKnown } from "./cancel-operation.ts";
import { CutOffs } from "./cut-offs.ts";
import { CallError, ifMissing } from "./errors.ts";
import { hasMoved, infoOf, type OwnOperation } from "./known-operation.ts";
import type { OperationCondition } from "./operation-condition.ts";
import { operationError } from "./operation-errors.ts";
import type { OperationControl, OperationExecutor, OperationRun } from "./operation-executor.ts";
import { OperationReader, type Wait, type Wanted } from "./operation-reader.ts";
import { OperationRegistry } from "./operation-registry.ts";
import { hasEnded } from "./operation-snapshot.ts";
import type { OperationSource } from "./operation-source.ts";
import type { ListedOperation, OperationCount, OperationStore, StoredOperation } from "./operation-store.ts";
import { pageKeyOf } from "./operation-store.ts";
import type { OperationsMeter } from "./operations-meter.ts";
import type { OperationsOptions } from "./operations-options.ts";
import { decodePageToken, encodePageToken } from "./page-token.ts";
import { soonestPollMs } from "./poll-advice.ts";
import { type MetricsPage, type MetricsQuery, readMetrics } from "./read-metrics.ts";
import { type RegistryActivity, registryActivity } from "./registry-activity.ts";
import { checkFilter, checkOperationId } from "./request-checks.ts";
import { checkRules } from "./request-rules.ts";
import { RunControl } from "./run-control.ts";
import type { Standing } from "./standing.ts";
import { Succession } from "./succession.ts";
import { Sweep } from "./sweep.ts";
import { recover } from "./take-over.ts";

/** How often a cancellation follows an operation that moves from server to server. */
const movesFollowed = 4;

/** What the service is made of. */
export interface OperationsServiceParts {
  readonly store: OperationStore;
  readonly standing: Standing;
  readonly coordinator: CancellationCoordinator;
  /** Who runs operations of a type. */
  readonly executors: ReadonlyMap<string, OperationExecutor>;
  /** Who speaks with the host at a URL; for operations that were given to it before a restart. */
  readonly executorForHost: (url: string) => OperationExecutor | Promise<OperationExecutor>;
  readonly log: Logger;
  readonly options: OperationsOptions;
  /** Counts what the registry does. Default: nothing is counted. */
  readonly meter?: OperationsMeter;
}

/** What a create may say beside the request. */
export interface CreateOptions {
  /** How the call came here. Default: from this process. */
  readonly origin?: CallOrigin;
  /** Who runs the operation. Default: the executor of its type. */
  readonly executor?: OperationExecutor;
}

/**
 * The registry of operations and the authority on every one of them. Of the servers that share a store, each is the
 * only writer of the records it owns, and answers for all.
 *
 * Its methods throw CallError for what a caller did wrong or may retry.
 */
export class OperationsService {
  /** The registry as executors see it. */
  readonly control: OperationControl;
  /** What passes from server to server. */
  readonly succession: Succession;
  readonly #parts: OperationsServiceParts;
  readonly #registry: OperationRegistry;
  readonly #reader: OperationReader;
  readonly #runControl: RunControl;
  readonly #cancelContext: CancelContext;
  readonly #admission: Admission;
  readonly #sweep: Sweep;
  readonly #closed = new AbortController();
  readonly #unsubscribe: () => void;
  readonly #pollSoon: Duration;

  constructor(parts: OperationsServiceParts) {
    const { store, standing, coordinator, options, log } = parts;
    const { now, pullTimeoutMs, cacheTtlMs } = options;
    const { signal: closed } = this.#closed;
    this.#parts = parts;
    this.#pollSoon = durationFromMs(soonestPollMs(cacheTtlMs));
    const cutOffs = new CutOffs({ store, log, attemptTimeoutMs: pullTimeoutMs, closed });
    const registry = new OperationRegistry({
      ...parts,
      cutOffs,
      closed,
      recover: (stored) => recover(takeOverContext, stored),
      requested: (own, reason) => void this.#takeUp(own, reason),
    });
    this.#registry = registry;
    this.#reader = new OperationReader({ ...parts, registry });
    this.#runControl = new RunControl({ ...parts, ...options, registry, cutOffs, closed });
    this.control = this.#runControl;
    const takeOverContext = { ...parts, registry, control: this.#runControl, cutOffs, now };
    this.#cancelContext = { ...parts, registry, control: this.control, now, callTimeoutMs: pullTimeoutMs };
    const succession = new Succession({ takeOverContext, log, closed });
    this.succession = succession;
    this.#admission = new Admission({
      ...parts,
      now,
      registry,
      control: this.control,
      limits: options,
      inDoubt: succession.inDoubt,
      cancel: (known, reason) => cancelKnown(this.#cancelContext, known, reason, false),
      current: (existing) => this.#current(existing),
    });
    this.#sweep = new Sweep({ registry, store, standing, options, log, takeOver: () => succession.takeOver() });
    this.#unsubscribe = coordinator.onCancelAll(
      (reason) => void cancelEach(this.#cancelContext, this.#local(), reason, log),
    );
  }

  /** The operation types that can be created, sorted. */
  get operationTypes(): string[] {
    return [...this.#parts.executors.keys()].sort();
  }

  /** What this server has in hand now; for metrics. */
  get activity(): RegistryActivity {
    return registryActivity(this.#registry);
  }

  /** Takes up what the store holds from before, then begins to sweep. Call it once, before anything else. */
  async start(): Promise<void> {
    await this.succession.takeOver();
    this.#sweep.start();
  }

  /** Gives everything up, because this server was taken for dead: work of this process is cut off, nothing is written. */
  abandon(): void {
    this.#registry.abandon();
  }

  /** Stops sweeping, answers all waiters and saves all progress it can. The store stays open. Safe to repeat. */
  async close(): Promise<void> {
    this.#admission.close();
    this.#closed.abort();
    this.#unsubscribe();
    await this.#sweep.stop();
  }

  /** Accepts an operation: stores it, hands it to its executor and answers it, or the one an equal request made. */
  async createOperation(
    init: MessageInitShape<typeof CreateOperationRequestSchema>,
    { origin = { via: [], trace: context.active() }, executor }: CreateOptions = {},
  ): Promise<OperationInfo> {
    return this.#admission.create(create(CreateOperationRequestSchema, init), origin, executor);
  }

  /** Makes a new operation from one that FAILED or was CANCELLED, with attempt + 1. */
  async retryOperation(
    operationId: string,
    requestId = "",
    origin: CallOrigin = { via: [], trace: context.active() },
  ): Promise<OperationInfo> {
    return this.#admission.retry(operationId, requestId, origin);
  }

  /**
   * Answers the operation as observed at most `maxStalenessMs` ago (default: the cache TTL). When its source cannot be
   * asked in time, the last known state, marked stale. With the revision the caller has, it is never older than that.
   */
  async getOperation(operationId: string, maxStalenessMs?: number, knownRevision = 0n): Promise<OperationInfo> {
    checkOperationId(operationId);
    return this.#reader.answer(await this.#reader.read(operationId, { maxStalenessMs, knownRevision }));
  }

  /** Answers many operations like getOperation, by id; what does not exist is missing. */
  async getOperations(
    operationIds: readonly string[],
    maxStalenessMs?: number,
    knownRevisions: ReadonlyMap<string, bigint> = new Map(),
  ): Promise<Map<string, OperationInfo>> {
    const readings = await this.#reader.readMany(operationIds, (operationId) => {
      return { maxStalenessMs, knownRevision: knownRevisions.get(operationId) ?? 0n };
    });
    return new Map([...readings].map(([operationId, reading]) => [operationId, this.#reader.answer(reading)]));
  }

  /** Those of the operations that exist, by id and as they are known here: no source is asked. */
  async knownOperations(operationIds: readonly string[]): Promise<Map<string, OperationInfo>> {
    const found = await this.#registry.findMany(operationIds);
    return new Map([...found].map(([operationId, known]) => [operationId, infoOf(known)]));
  }

  /**
   * Answers the operation once its revision is another than `knownRevision` (or has ended, with `untilDone`), or as it
   * is after `timeoutMs` or when the signal aborts. A knownRevision of 0 means the one at the time of the call. Throws a
   * CallError with TOO_MANY_WAITERS when as many are waiting as may.
   */
  waitOperation(operationId: string, wait: Wait): Promise<OperationInfo> {
    return this.#reader.wait(operationId, wait);
  }

  /**
   * When the next poll of an operation that was answered is worth while, with `hasWaited` the next call after a wait.
   * Undefined once it has ended. Costs next to nothing. The message is shared: not to be changed.
   */
  pollAfter(info: OperationInfo, hasWaited = false): Duration | undefined {
    if (hasEnded(info)) {
      return undefined;
    }
    const advice = this.#registry.live(info.operationId)?.advice;
    return (hasWaited ? advice?.afterWait : advice?.next) ?? this.#pollSoon;
  }

  /** Those of the operations that this server owns, if `instanceId` is its present name, and that have not ended. */
  async ownedOf(operationIds: readonly string[], instanceId: string): Promise<string[]> {
    if (instanceId !== this.#parts.standing.instanceId) {
      return [];
    }
    const found = await this.#registry.findMany(operationIds);
    return operationIds.filter((operationId) => found.get(operationId)?.kind === "own");
  }

  /**
   * Answers a page of the operations that match filter and condition, newest first, and the token of the next one; empty
   * at the end.
   */
  async listOperations(
    filter: OperationFilter,
    pageSize: number,
    pageToken: string,
    condition?: OperationCondition,
  ): Promise<{ operations: OperationInfo[]; nextPageToken: string }> {
    checkFilter(filter);
    const after = pageToken === "" ? undefined : decodePageToken(pageToken, filter, condition);
    const stored = await this.#parts.store.list(filter, after, pageSize + 1, condition);
    const page = stored.slice(0, pageSize);
    const last = page.at(-1);
    return {
      operations: await Promise.all(page.map((listed) => this.#newest(listed))),
      nextPageToken: stored.length > pageSize && last ? encodePageToken(pageKeyOf(last.info), filter, condition) : "",
    };
  }

  /** Counts the operations that match filter and condition, by status and type. */
  async countOperations(filter: OperationFilter, condition?: OperationCondition): Promise<OperationCount[]> {
    checkFilter(filter);
    return this.#parts.store.count(filter, condition);
  }

  /**
   * Asks an operation and its children to stop, and answers it after the first attempt to tell its source. An operation
   * that has ended is answered unchanged.
   */
  async cancelOperation(operationId: string, reason: string, { force = false } = {}): Promise<OperationInfo> {
    checkRules(CancelOperationRequestSchema, create(CancelOperationRequestSchema, { operationId, reason }));
    for (let moves = 0; ; moves++) {
      const known = await this.#registry.find(operationId);
      await cancelKnown(this.#cancelContext, known, reason, force);
      if (!hasMoved(known) || moves === movesFollowed) {
        return this.#reader.answer(this.#reader.reading(known));
      }
    }
  }

  /** Asks every operation that matches filter and condition to stop, and answers which, newest first. */
  async cancelOperations(filter: OperationFilter, reason: string, condition?: OperationCondition): Promise<string[]> {
    checkRules(CancelOperationsRequestSchema, create(CancelOperationsRequestSchema, { filter, reason }));
    return cancelMatching(this.#cancelContext, filter, reason, condition);
  }

  /** Removes the record of an operation that has ended. */
  async deleteOperation(operationId: string): Promise<void> {
    checkOperationId(operationId);
    const info = infoOf((await this.#reader.read(operationId)).known);
    if (!hasEnded(info)) {
      throw new CallError("OPERATION_NOT_TERMINAL", `operation ${operationId} has not ended; cancel it first`, {
        operationId,
      });
    }
    try {
      await this.#parts.store.delete(operationId, info.revision);
    } finally {
      // Last, for it may have been read again meanwhile.
      this.#registry.forget([operationId]);
    }
  }

  /** Answers metric records after a cursor, pulled from the source at most a cache TTL ago. */
  async getMetrics(operationId: string, query: MetricsQuery): Promise<MetricsPage & { operation: OperationInfo }> {
    checkOperationId(operationId);
    const wanted: Wanted = { metrics: true, maxStalenessMs: this.#parts.options.cacheTtlMs };
    const reading = await this.#reader.read(operationId, wanted);
    const page = await readMetrics(this.#parts.store, reading.known, query);
    return { ...page, operation: this.#reader.answer(reading) };
  }

  /**
   * Begins an operation that its creator runs itself (see `callerRuns`): RUNNING is stored when this resolves. The
   * source defaults to a bridge that updateProgress writes.
   */
  async startOperation(operationId: string, createSource?: (run: OperationRun) => OperationSource): Promise<void> {
    checkOperationId(operationId);
    const { operationType, status } = infoOf(await this.#registry.find(operationId));
    const source =
      createSource ??
      ((run) => {
        const bridge = new ProgressBridge({ operationType, ...run });
        return new BridgeSource({ attempt: run.attempt, bridge, writer: bridge, cancel: () => {} });
      });
    if (status !== OperationStatus.PENDING || !(await this.#runControl.startNow(operationId, source))) {
      throw new CallError("ILLEGAL_TRANSITION", `operation ${operationId} is not PENDING and cannot be started`, {
        operationId,
      });
    }
  }

  /** Replaces the progress of a running operation of this process. Synchronous: a write to memory, and nothing else. */
  updateProgress(operationId: string, progress: ProgressUpdate): void {
    const writer = this.#registry.active(operationId)?.operation.source?.writer;
    if (!writer) {
      throw new CallError("ILLEGAL_TRANSITION", `operation ${operationId} is not running in this process`, {
        operationId,
      });
    }
    writer.update(progress);
  }

  /** Ends an operation that its creator runs itself; its last metrics are stored first. Late calls change nothing. */
  async completeOperation(operationId: string, summary?: JsonObject): Promise<void> {
    await this.control.finish(operationId, { status: "completed", ...(summary && { summary }) });
  }

  /** Ends an operation that its creator runs itself, as FAILED. Late calls change nothing. */
  async failOperation(operationId: string, error: OperationError | string): Promise<void> {
    const failure = typeof error === "string" ? operationError("OPERATION_FAILED", error) : error;
    await this.control.finish(operationId, { status: "failed", error: failure });
  }

  /** The operation's cancellation token; the same one each time. Undefined once the operation has ended. */
  getCancellationToken(operationId: string): CancellationToken | undefined {
    return this.#registry.active(operationId) && this.#parts.coordinator.tokenFor(operationId);
  }

  /**
   * Prepares to stop: refuses new operations, cancels what runs in this process and could not be run again, and answers
   * when that has ended or `timeoutMs` have passed. What waits for its turn stays PENDING in the store.
   */
  async drain(reason: string, timeoutMs: number): Promise<void> {
    this.#admission.close();
    const running = this.#local().filter(
      ({ operation }) =>
        operation.info.status === OperationStatus.RUNNING &&
        operation.executor?.recover(operation.stored).outcome !== "restartable",
    );
    await cancelEach(this.#cancelContext, running, reason, this.#parts.log);
    await Promise.all(running.map(({ watch }) => watch.waitUntil(() => false, timeoutMs)));
  }

  /** Refreshes everything, saves progress and removes what has expired, now instead of at the next beat. */
  sweep(): Promise<void> {
    return this.#sweep.run();
  }

  /** An operation that a repeated request names. */
  async #current(existing: StoredOperation): Promise<OperationInfo> {
    const { operationId } = existing.info;
    const own = this.#registry.active(operationId);
    if (own && !this.#parts.standing.isShared) {
      return own.operation.info;
    }
    const reading = await this.#reader.read(operationId).catch(ifMissing);
    return reading ? this.#reader.answer(reading) : existing.info;
  }

  /** What is newest known of a listed operation; of another server's, by that one. */
  async #newest(listed: ListedOperation): Promise<OperationInfo> {
    if (hasEnded(listed.info)) {
      return listed.info;
    }
    const known = await this.#registry.listed(listed);
    if (known?.kind !== "peers") {
      return known ? this.#reader.answer(this.#reader.reading(known)) : listed.info;
    }
    const reading = await this.#reader.refreshed(known, {});
    return hasMoved(known) ? listed.info : this.#reader.answer(reading);
  }

  /** Does what a request asks for that was found in the store. A restart would find it again. */
  async #takeUp(own: OwnOperation, reason: string): Promise<void> {
    const cancel = () => cancelKnown(this.#cancelContext, own, reason, false);
    await this.#runControl.untilStored(own.operation.operationId, "a cancellation", cancel).catch(() => {});
  }

  #local(): OwnOperation[] {
    return [...this.#registry.own].filter(({ operation }) => operation.info.host === "");
  }
}
