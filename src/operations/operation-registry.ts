import { durationMs } from "@bufbuild/protobuf/wkt";
import { LRUCache } from "lru-cache";
import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import type { CancellationCoordinator } from "../cancellation/cancellation-coordinator.ts";
import type { CallOrigin } from "./call-origin.ts";
import { CancellationDelivery } from "./cancellation-delivery.ts";
import { ChangeWatch } from "./change-watch.ts";
import { CallError } from "./errors.ts";
import { LiveOperation } from "./live-operation.ts";
import { hasEnded } from "./operation-snapshot.ts";
import type { MetricsLog, OperationStore, StoredOperation } from "./operation-store.ts";
import type { OperationsOptions } from "./operations-options.ts";
import { RefreshOnRead } from "./refresh-on-read.ts";
import { RunDurations } from "./run-durations.ts";

/** Ended operations kept in memory, because pollers ask about them once more. */
const endedInMemory = 10_000;
/** How long a delivered cancellation is followed to its end without anybody asking, in milliseconds. */
const followMs = 60_000;

/** An operation that has not ended, with the parts that act on it. */
export interface TrackedOperation {
  readonly operation: LiveOperation;
  readonly refresh: RefreshOnRead;
  readonly watch: ChangeWatch;
  readonly delivery: CancellationDelivery;
}

/**
 * Every operation by its id: those that have not ended in memory, the others in the store.
 *
 * I1 An operation is tracked from its creation, or the start of the server, until its terminal status is stored.
 * I2 When it ends, its source is closed, its token released and its place taken by the last snapshot.
 */
export class OperationRegistry {
  readonly #store: OperationStore;
  readonly #coordinator: CancellationCoordinator;
  readonly #options: OperationsOptions;
  readonly #closed: AbortSignal;
  readonly #tracked = new Map<string, TrackedOperation>();
  readonly #children = new Map<string, Set<string>>();
  readonly #ended = new LRUCache<string, StoredOperation>({ max: endedInMemory });
  readonly #durations = new RunDurations();

  constructor(
    store: OperationStore,
    coordinator: CancellationCoordinator,
    options: OperationsOptions,
    closed: AbortSignal,
  ) {
    this.#store = store;
    this.#coordinator = coordinator;
    this.#options = options;
    this.#closed = closed;
  }

  /** The operations that have not ended. */
  get tracked(): Iterable<TrackedOperation> {
    return this.#tracked.values();
  }

  /** An operation that has not ended; undefined for every other id. */
  active(operationId: string): TrackedOperation | undefined {
    return this.#tracked.get(operationId);
  }

  /** An operation, tracked or as it ended. CallError OPERATION_NOT_FOUND or OPERATION_EXPIRED when there is none. */
  async find(operationId: string): Promise<TrackedOperation | StoredOperation> {
    const known = this.#tracked.get(operationId) ?? this.#ended.get(operationId);
    if (known) {
      return known;
    }
    const stored = await this.#store.get(operationId);
    if (!stored) {
      throw await this.#missing(operationId);
    }
    return this.#remember(stored);
  }

  /** Those of the operations that exist, by id. */
  async findMany(operationIds: readonly string[]): Promise<Map<string, TrackedOperation | StoredOperation>> {
    const found = new Map<string, TrackedOperation | StoredOperation>();
    const unknown: string[] = [];
    for (const operationId of operationIds) {
      const known = this.#tracked.get(operationId) ?? this.#ended.get(operationId);
      if (known) {
        found.set(operationId, known);
      } else {
        unknown.push(operationId);
      }
    }
    for (const stored of unknown.length > 0 ? await this.#store.getMany(unknown) : []) {
      found.set(stored.info.operationId, await this.#remember(stored));
    }
    return found;
  }

  /** The children of an operation that have not ended. */
  childrenOf(operationId: string): TrackedOperation[] {
    const children: TrackedOperation[] = [];
    for (const child of this.#children.get(operationId) ?? []) {
      const tracked = this.#tracked.get(child);
      if (tracked) {
        children.push(tracked);
      }
    }
    return children;
  }

  /** Begins to track an operation that has not ended; the same one each time. */
  track(stored: StoredOperation, log: MetricsLog, origin?: CallOrigin): TrackedOperation {
    const { operationId } = stored.info;
    const known = this.#tracked.get(operationId);
    if (known) {
      return known;
    }
    const operation = new LiveOperation(this.#store, stored, log, origin);
    const { now, pullTimeoutMs, hostLostAfterMs, cacheTtlMs } = this.#options;
    const refresh = new RefreshOnRead(operation, {
      now,
      pullTimeoutMs,
      hostLostAfterMs,
      retentionMs: this.retentionMs(stored),
      estimateRemainingMs: (info) => this.#durations.estimateRemainingMs(info, now()),
    });
    const watch = new ChangeWatch(operation, refresh, cacheTtlMs);
    const delivery = new CancellationDelivery(operation, {
      now,
      attemptTimeoutMs: pullTimeoutMs,
      closed: this.#closed,
      onDelivered: () => void watch.waitUntil(() => false, followMs, this.#closed),
    });
    const tracked = { operation, refresh, watch, delivery };
    this.#tracked.set(operationId, tracked);
    const { parentOperationId } = stored.info;
    if (parentOperationId !== "") {
      const siblings = this.#children.get(parentOperationId) ?? new Set();
      this.#children.set(parentOperationId, siblings.add(operationId));
    }
    operation.onChange(() => {
      if (hasEnded(operation.info)) {
        this.#end(operation);
      }
    });
    return tracked;
  }

  /** Forgets what is kept of ended operations that are no longer in the store. */
  forget(operationIds: Iterable<string>): void {
    for (const operationId of operationIds) {
      this.#ended.delete(operationId);
    }
  }

  /** How long the record of an operation is kept after its end, in milliseconds. */
  retentionMs(stored: StoredOperation): number {
    const { retention } = stored.request;
    return retention ? durationMs(retention) : this.#options.retentionMs;
  }

  #end(operation: LiveOperation): void {
    const { operationId, cancellation, parentOperationId } = operation.info;
    this.#durations.note(operation.info);
    this.#ended.set(operationId, operation.stored);
    this.#tracked.delete(operationId);
    const siblings = this.#children.get(parentOperationId);
    if (siblings?.delete(operationId) && siblings.size === 0) {
      this.#children.delete(parentOperationId);
    }
    if (cancellation) {
      // Work that goes on although its record was settled by force hears of it.
      this.#coordinator.cancel(operationId, cancellation.reason);
    }
    this.#coordinator.release(operationId);
    operation.source?.close();
  }

  async #remember(stored: StoredOperation): Promise<TrackedOperation | StoredOperation> {
    if (!hasEnded(stored.info)) {
      return this.track(stored, await this.#store.metricsLog(stored.info.operationId));
    }
    this.#ended.set(stored.info.operationId, stored);
    return stored;
  }

  async #missing(operationId: string): Promise<CallError> {
    const expiredAtMs = await this.#store.expiredAt(operationId);
    return expiredAtMs === undefined
      ? new CallError("OPERATION_NOT_FOUND", `operation ${operationId} does not exist`, { operationId })
      : new CallError(
          "OPERATION_EXPIRED",
          `operation ${operationId} was removed on ${new Date(expiredAtMs).toISOString()}, after its retention`,
          { operationId },
        );
  }
}

/** The newest snapshot of an operation, tracked or ended. */
export function infoOf(found: TrackedOperation | StoredOperation): OperationInfo {
  return "operation" in found ? found.operation.info : found.info;
}
