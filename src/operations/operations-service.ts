import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import type { Logger } from "pino";
import {
  FreshnessSource,
  type OperationError,
  type OperationInfo,
  OperationStatus,
} from "../../gen/longhaul/v1/operation_pb.ts";
import { CreateOperationRequestSchema, type OperationFilter } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { CancellationCoordinator } from "../cancellation/cancellation-coordinator.ts";
import type { CancellationToken } from "../cancellation/cancellation-token.ts";
import { ProgressBridge } from "../progress/progress-bridge.ts";
import type { ProgressUpdate } from "../progress/progress-update.ts";
import { Admission } from "./admission.ts";
import { BridgeSource } from "./bridge-source.ts";
import type { CallOrigin } from "./call-origin.ts";
import { cancelEach, cancelMatching } from "./cancel-many.ts";
import { type CancelContext, cancelTracked } from "./cancel-operation.ts";
import { CallError } from "./errors.ts";
import { operationError } from "./operation-errors.ts";
import type { OperationControl, OperationExecutor, OperationRun } from "./operation-executor.ts";
import { checkOperationId } from "./operation-id.ts";
import { infoOf, OperationRegistry, type TrackedOperation } from "./operation-registry.ts";
import { hasEnded, seenAgain } from "./operation-snapshot.ts";
import type { OperationSource } from "./operation-source.ts";
import { type OperationCount, type OperationStore, pageKeyOf, type StoredOperation } from "./operation-store.ts";
import type { OperationsOptions } from "./operations-options.ts";
import { decodePageToken, encodePageToken } from "./page-token.ts";
import { pause } from "./pause.ts";
import { type MetricsPage, type MetricsQuery, readMetrics } from "./read-metrics.ts";
import { recoverOperations } from "./recover-operations.ts";
import { checkFilter, checkReason } from "./request-checks.ts";
import { RunControl } from "./run-control.ts";
import { Sweep } from "./sweep.ts";

/** How much longer than one pull a Get waits for the state, in milliseconds; draining metrics may take longer. */
const getMarginMs = 250;

/** What the service is made of. */
export interface OperationsServiceParts {
  readonly store: OperationStore;
  readonly coordinator: CancellationCoordinator;
  /** Who runs operations of a type. */
  readonly executors: ReadonlyMap<string, OperationExecutor>;
  /** Who speaks with the host at a URL; for operations that were given to it before a restart. */
  readonly executorForHost: (url: string) => OperationExecutor;
  readonly log: Logger;
  readonly options: OperationsOptions;
}

/** What a create may say beside the request. */
export interface CreateOptions {
  /** How the call came here. Default: from this process. */
  readonly origin?: CallOrigin;
  /** Who runs the operation. Default: the executor of its type. */
  readonly executor?: OperationExecutor;
}

/**
 * The registry of operations and the authority on every one of them: the only writer of their records.
 *
 * Its methods throw CallError for what a caller did wrong or may retry.
 */
export class OperationsService {
  /** The registry as executors see it. */
  readonly control: OperationControl;
  readonly #parts: OperationsServiceParts;
  readonly #registry: OperationRegistry;
  readonly #runControl: RunControl;
  readonly #cancelContext: CancelContext;
  readonly #admission: Admission;
  readonly #sweep: Sweep;
  readonly #closed = new AbortController();
  readonly #unsubscribe: () => void;

  constructor(parts: OperationsServiceParts) {
    const { store, coordinator, options, log } = parts;
    this.#parts = parts;
    this.#registry = new OperationRegistry(store, coordinator, options, this.#closed.signal);
    this.#runControl = new RunControl(this.#registry, coordinator, options.now, log, this.#closed.signal);
    this.control = this.#runControl;
    this.#cancelContext = { registry: this.#registry, coordinator, now: options.now };
    this.#admission = new Admission({
      ...parts,
      now: options.now,
      registry: this.#registry,
      control: this.control,
      cancel: (tracked, reason) => cancelTracked(this.#cancelContext, tracked, reason, false),
    });
    this.#sweep = new Sweep(this.#registry, store, options, log);
    this.#unsubscribe = coordinator.onCancelAll(
      (reason) => void cancelEach(this.#cancelContext, this.#local(), reason, log),
    );
  }

  /** The operation types that can be created, sorted. */
  get operationTypes(): string[] {
    return [...this.#parts.executors.keys()].sort();
  }

  /** Takes up what the store holds from before, then begins to sweep. Call it once, before anything else. */
  async start(): Promise<void> {
    const { store, executors, executorForHost, options } = this.#parts;
    await recoverOperations({
      store,
      executors,
      executorForHost,
      registry: this.#registry,
      control: this.#runControl,
      now: options.now,
    });
    this.#sweep.start();
  }

  /** Stops sweeping, answers all waiters and saves all progress. The store stays open. Safe to repeat. */
  async close(): Promise<void> {
    this.#admission.close();
    this.#closed.abort();
    this.#unsubscribe();
    await this.#sweep.stop();
  }

  /** Accepts an operation: stores it, hands it to its executor and answers it, or the one an equal request made. */
  async createOperation(
    init: MessageInitShape<typeof CreateOperationRequestSchema>,
    { origin = { via: [] }, executor }: CreateOptions = {},
  ): Promise<OperationInfo> {
    return this.#admission.create(create(CreateOperationRequestSchema, init), origin, executor);
  }

  /** Makes a new operation from one that FAILED or was CANCELLED, with attempt + 1. */
  async retryOperation(operationId: string, requestId = "", origin: CallOrigin = { via: [] }): Promise<OperationInfo> {
    return this.#admission.retry(operationId, requestId, origin);
  }

  /**
   * Answers the operation as observed at most `maxStalenessMs` ago (default: the cache TTL). When its source cannot be
   * asked in time, the last known state, marked stale.
   */
  async getOperation(operationId: string, maxStalenessMs = this.#parts.options.cacheTtlMs): Promise<OperationInfo> {
    const found = await this.#find(operationId);
    await this.#refreshed(found, maxStalenessMs, false);
    return this.#answer(found);
  }

  /** Answers many operations like getOperation, by id; what does not exist is missing. */
  async getOperations(
    operationIds: readonly string[],
    maxStalenessMs = this.#parts.options.cacheTtlMs,
  ): Promise<Map<string, OperationInfo>> {
    operationIds.forEach((operationId, index) => {
      checkOperationId(operationId, `operations[${index}].operation_id`);
    });
    const found = await this.#registry.findMany(operationIds);
    await Promise.all([...found.values()].map((one) => this.#refreshed(one, maxStalenessMs, false)));
    return new Map([...found].map(([operationId, one]) => [operationId, this.#answer(one)]));
  }

  /**
   * Answers the operation once its revision is another than `knownRevision` (or has ended, with `untilDone`), or as it
   * is after `timeoutMs` or when the signal aborts. A knownRevision of 0 means the one at the time of the call.
   */
  async waitOperation(
    operationId: string,
    wait: { knownRevision: bigint; untilDone: boolean; timeoutMs: number; signal?: AbortSignal },
  ): Promise<OperationInfo> {
    const deadlineMs = performance.now() + wait.timeoutMs;
    const found = await this.#find(operationId);
    await this.#refreshed(found, this.#parts.options.cacheTtlMs, false);
    if (!("operation" in found)) {
      return this.#answer(found);
    }
    const known = wait.knownRevision === 0n ? found.operation.info.revision : wait.knownRevision;
    const enough = (info: OperationInfo) => !wait.untilDone && info.revision !== known;
    const signal = wait.signal ? AbortSignal.any([wait.signal, this.#closed.signal]) : this.#closed.signal;
    await found.watch.waitUntil(enough, deadlineMs - performance.now(), signal);
    return this.#answer(found);
  }

  /** Answers a page of operations, newest first, and the token of the next one; empty at the end. */
  async listOperations(
    filter: OperationFilter,
    pageSize: number,
    pageToken: string,
  ): Promise<{ operations: OperationInfo[]; nextPageToken: string }> {
    checkFilter(filter);
    const after = pageToken === "" ? undefined : decodePageToken(pageToken, filter);
    const stored = await this.#parts.store.list(filter, after, pageSize + 1);
    const page = stored.slice(0, pageSize);
    const last = page.at(-1);
    return {
      operations: page.map((info) => this.#newest(info)),
      nextPageToken: stored.length > pageSize && last ? encodePageToken(pageKeyOf(last), filter) : "",
    };
  }

  /** Counts operations by status and type. */
  async countOperations(filter: OperationFilter): Promise<OperationCount[]> {
    checkFilter(filter);
    return this.#parts.store.count(filter);
  }

  /**
   * Asks an operation and its children to stop, and answers it after the first attempt to tell its source. An operation
   * that has ended is answered unchanged.
   */
  async cancelOperation(operationId: string, reason: string, { force = false } = {}): Promise<OperationInfo> {
    checkReason(reason);
    const found = await this.#find(operationId);
    if ("operation" in found) {
      await cancelTracked(this.#cancelContext, found, reason, force);
    }
    return this.#answer(found);
  }

  /** Asks every operation that matches to stop, and answers which, newest first. */
  async cancelOperations(filter: OperationFilter, reason: string): Promise<string[]> {
    checkReason(reason);
    checkFilter(filter);
    return cancelMatching(this.#cancelContext, this.#parts.store, filter, reason);
  }

  /** Removes the record of an operation that has ended. */
  async deleteOperation(operationId: string): Promise<void> {
    const found = await this.#find(operationId);
    const { revision } = infoOf(found);
    if (!hasEnded(infoOf(found))) {
      throw new CallError("OPERATION_NOT_TERMINAL", `operation ${operationId} has not ended; cancel it first`, {
        operationId,
      });
    }
    this.#registry.forget([operationId]);
    await this.#parts.store.delete(operationId, revision);
  }

  /** Answers metric records after a cursor, pulled from the source at most a cache TTL ago. */
  async getMetrics(operationId: string, query: MetricsQuery): Promise<MetricsPage & { operation: OperationInfo }> {
    const found = await this.#find(operationId);
    await this.#refreshed(found, this.#parts.options.cacheTtlMs, true);
    const page = await readMetrics(this.#parts.store, found, query);
    return { ...page, operation: this.#answer(found) };
  }

  /**
   * Begins an operation that its creator runs itself (see `callerRuns`): RUNNING is stored when this resolves. The
   * source defaults to a bridge that updateProgress writes.
   */
  async startOperation(operationId: string, createSource?: (run: OperationRun) => OperationSource): Promise<void> {
    const { operationType, status } = infoOf(await this.#find(operationId));
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

  #find(operationId: string, field?: string): Promise<TrackedOperation | StoredOperation> {
    checkOperationId(operationId, field);
    return this.#registry.find(operationId);
  }

  /** Waits for a refresh, but no longer than a caller may have to wait for a dead host. */
  async #refreshed(found: TrackedOperation | StoredOperation, stalenessMs: number, metrics: boolean): Promise<void> {
    if (!("operation" in found) || !found.operation.source) {
      return;
    }
    const done = new AbortController();
    const refresh = found.refresh.refresh(stalenessMs, metrics);
    try {
      await Promise.race([refresh, pause(this.#parts.options.pullTimeoutMs + getMarginMs, done.signal)]);
    } finally {
      // Not with the refresh's own end: then the pause would win the race, and the store's trouble would go untold.
      done.abort();
    }
  }

  /** The snapshot to answer. Of an operation that waits for its turn in this process, the registry knows all. */
  #answer(found: TrackedOperation | StoredOperation): OperationInfo {
    const info = infoOf(found);
    const waitsHere = info.status === OperationStatus.PENDING && info.host === "";
    return waitsHere ? seenAgain(info, FreshnessSource.LOCAL, this.#parts.options.now()) : info;
  }

  #newest(stored: OperationInfo): OperationInfo {
    return this.#registry.active(stored.operationId)?.operation.info ?? stored;
  }

  #local(): TrackedOperation[] {
    return [...this.#registry.tracked].filter(({ operation }) => operation.info.host === "");
  }
}
