import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import type { Logger } from "pino";
import {
  FreshnessSource,
  type OperationError,
  type OperationInfo,
  OperationStatus,
} from "../../gen/longhaul/v1/operation_pb.ts";
import {
  CreateOperationRequestSchema,
  type OperationFilter,
  OperationFilterSchema,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { CancellationCoordinator } from "../cancellation/cancellation-coordinator.ts";
import type { CancellationToken } from "../cancellation/cancellation-token.ts";
import { ProgressBridge } from "../progress/progress-bridge.ts";
import type { ProgressUpdate } from "../progress/progress-update.ts";
import { BridgeSource } from "./bridge-source.ts";
import type { CallOrigin } from "./call-origin.ts";
import { cancelTracked } from "./cancel-operation.ts";
import { existingOperation, type NewOperation, newStoredOperation } from "./create-operation.ts";
import { CallError } from "./errors.ts";
import { activeStatuses } from "./life-cycle.ts";
import { operationError } from "./operation-errors.ts";
import type { OperationControl, OperationExecutor, OperationRun } from "./operation-executor.ts";
import { checkOperationId, quote } from "./operation-id.ts";
import { infoOf, OperationRegistry, type TrackedOperation } from "./operation-registry.ts";
import { hasEnded, msOf, seenAgain } from "./operation-snapshot.ts";
import type { OperationSource } from "./operation-source.ts";
import type { OperationCount, OperationStore, PageKey, StoredOperation } from "./operation-store.ts";
import type { OperationsOptions } from "./operations-options.ts";
import { decodePageToken, encodePageToken } from "./page-token.ts";
import { pause } from "./pause.ts";
import { type MetricsPage, type MetricsQuery, readMetrics } from "./read-metrics.ts";
import { recoverOperations } from "./recover-operations.ts";
import { checkCreateRequest, checkFilter, checkReason } from "./request-checks.ts";
import { RunControl } from "./run-control.ts";
import { Sweep } from "./sweep.ts";

/** How much longer than one pull a Get waits for the state, in milliseconds; draining metrics may take longer. */
const getMarginMs = 250;
/** Operations cancelled at the same time by CancelOperations. */
const cancelBatch = 1_000;

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
  readonly #sweep: Sweep;
  readonly #closed = new AbortController();
  readonly #unsubscribe: () => void;
  #draining = false;

  constructor(parts: OperationsServiceParts) {
    const { store, coordinator, options, log } = parts;
    this.#parts = parts;
    this.#registry = new OperationRegistry(store, coordinator, options, this.#closed.signal);
    this.#runControl = new RunControl(this.#registry, coordinator, options.now, log, this.#closed.signal);
    this.control = this.#runControl;
    this.#sweep = new Sweep(this.#registry, store, options, log);
    this.#unsubscribe = coordinator.onCancelAll((reason) => void this.#cancelEach(this.#local(), reason));
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
    this.#closed.abort();
    this.#unsubscribe();
    await this.#sweep.stop();
  }

  /** Accepts an operation: stores it, hands it to its executor and answers it, or the one an equal request made. */
  async createOperation(
    init: MessageInitShape<typeof CreateOperationRequestSchema>,
    { origin = { via: [] }, executor }: CreateOptions = {},
  ): Promise<OperationInfo> {
    const request = create(CreateOperationRequestSchema, init);
    checkCreateRequest(request);
    const runs = executor ?? this.#executorFor(request.operationType);
    await this.#checkParent(request.parentOperationId);
    return this.#accept({ request, host: runs.host, attempt: 1, retryOf: "" }, runs, origin);
  }

  /** Makes a new operation from one that FAILED or was CANCELLED, with attempt + 1. */
  async retryOperation(operationId: string, requestId = "", origin: CallOrigin = { via: [] }): Promise<OperationInfo> {
    const found = await this.#find(operationId);
    const { info, request } = "operation" in found ? found.operation.stored : found;
    if (info.status !== OperationStatus.FAILED && info.status !== OperationStatus.CANCELLED) {
      throw new CallError("OPERATION_NOT_RETRYABLE", `operation ${operationId} has neither failed nor been cancelled`, {
        operationId,
      });
    }
    const executor = this.#executorFor(info.operationType);
    const again = create(CreateOperationRequestSchema, { ...request, operationId: "", requestId });
    checkCreateRequest(again);
    const attempt = info.attempt + 1;
    return this.#accept({ request: again, host: executor.host, attempt, retryOf: operationId }, executor, origin);
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
      nextPageToken: stored.length > pageSize && last ? encodePageToken(pageKey(last), filter) : "",
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
      await this.#cancel(found, reason, force);
    }
    return this.#answer(found);
  }

  /** Asks every operation that matches to stop, and answers which, newest first. */
  async cancelOperations(filter: OperationFilter, reason: string): Promise<string[]> {
    checkReason(reason);
    checkFilter(filter);
    const statuses = filter.statuses.filter((status) => activeStatuses.includes(status));
    const active = create(OperationFilterSchema, {
      ...filter,
      statuses: statuses.length > 0 ? statuses : [...activeStatuses],
    });
    const cancelled: string[] = [];
    for (let after: PageKey | undefined; filter.statuses.length === 0 || statuses.length > 0; ) {
      const page = await this.#parts.store.list(active, after, cancelBatch);
      await Promise.all(
        page.map(async ({ operationId }) => {
          const tracked = this.#registry.active(operationId);
          if (tracked) {
            cancelled.push(operationId);
            await this.#cancel(tracked, reason, false);
          }
        }),
      );
      const last = page.at(-1);
      if (page.length < cancelBatch || !last) {
        break;
      }
      after = pageKey(last);
    }
    return cancelled;
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
    this.#draining = true;
    const running = this.#local().filter(
      ({ operation }) =>
        operation.info.status === OperationStatus.RUNNING &&
        operation.executor?.recover(operation.stored).outcome !== "restartable",
    );
    await this.#cancelEach(running, reason);
    await Promise.all(running.map(({ watch }) => watch.waitUntil(() => false, timeoutMs)));
  }

  /** Refreshes everything, saves progress and removes what has expired, now instead of at the next beat. */
  sweep(): Promise<void> {
    return this.#sweep.run();
  }

  async #accept(wanted: NewOperation, executor: OperationExecutor, origin: CallOrigin): Promise<OperationInfo> {
    const { store, coordinator, options } = this.#parts;
    if (this.#draining || this.#closed.signal.aborted) {
      throw new CallError("SHUTTING_DOWN", "the server is stopping; nothing was created", { retryAfterMs: 1_000 });
    }
    const stored = newStoredOperation(wanted, options.now());
    const outcome = await store.create(stored);
    if (!outcome.created) {
      const existing = existingOperation(stored, outcome);
      return this.#newest(existing.info);
    }
    const tracked = this.#registry.track(stored, { cursor: 0, summary: new Uint8Array() }, origin);
    tracked.operation.executor = executor;
    const token = coordinator.tokenFor(stored.info.operationId);
    if (token.isCancelled()) {
      await this.#cancel(tracked, token.reason ?? "everything was cancelled", false);
    } else {
      executor.dispatch(stored, this.control, { origin, again: false });
    }
    return tracked.operation.info;
  }

  #executorFor(operationType: string): OperationExecutor {
    const executor = this.#parts.executors.get(operationType);
    if (executor) {
      return executor;
    }
    const types = this.operationTypes;
    const description = `${quote(operationType)} is not served here; the types are ${types.join(", ") || "none"}`;
    throw new CallError("UNKNOWN_OPERATION_TYPE", `operation_type: ${description}`, {
      violations: [{ field: "operation_type", description }],
    });
  }

  async #checkParent(parentOperationId: string): Promise<void> {
    if (parentOperationId === "") {
      return;
    }
    const parent = infoOf(await this.#find(parentOperationId, "parent_operation_id"));
    if (hasEnded(parent) || parent.cancellation) {
      throw new CallError("PARENT_ENDED", `parent ${parentOperationId} has ended or is being cancelled`, {
        operationId: parentOperationId,
      });
    }
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

  #cancel(tracked: TrackedOperation, reason: string, force: boolean): Promise<void> {
    const { coordinator, options } = this.#parts;
    return cancelTracked({ registry: this.#registry, coordinator, now: options.now }, tracked, reason, force);
  }

  #local(): TrackedOperation[] {
    return [...this.#registry.tracked].filter(({ operation }) => operation.info.host === "");
  }

  async #cancelEach(operations: readonly TrackedOperation[], reason: string): Promise<void> {
    const results = await Promise.allSettled(operations.map((tracked) => this.#cancel(tracked, reason, false)));
    for (const result of results) {
      if (result.status === "rejected") {
        this.#parts.log.error({ err: result.reason }, "a cancellation could not be stored");
      }
    }
  }
}

function pageKey(info: OperationInfo): PageKey {
  return { createdAtMs: msOf(info.createdAt) ?? 0, operationId: info.operationId };
}
