import { durationMs } from "@bufbuild/protobuf/wkt";
import { LRUCache } from "lru-cache";
import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import type { CancellationCoordinator } from "../cancellation/cancellation-coordinator.ts";
import { traceContextOf } from "../tracing/trace-context.ts";
import type { CallOrigin } from "./call-origin.ts";
import { CancellationDelivery, type CancellationDeliveryOptions } from "./cancellation-delivery.ts";
import { ChangeWatch } from "./change-watch.ts";
import type { CutOffs } from "./cut-offs.ts";
import { CallError, ifMissing, operationNotFound } from "./errors.ts";
import { EventLoopLoad } from "./event-loop-load.ts";
import { FollowedOperation } from "./followed-operation.ts";
import type { EndedOperation, KnownOperation, OwnOperation, PeersOperation } from "./known-operation.ts";
import { LiveOperation, type LiveOperationParts } from "./live-operation.ts";
import { hasEnded } from "./operation-snapshot.ts";
import type { OperationSource } from "./operation-source.ts";
import type { ListedOperation, MetricsLog, OperationStore, StoredOperation } from "./operation-store.ts";
import { noOperationsMeter, type OperationsMeter } from "./operations-meter.ts";
import type { OperationsOptions } from "./operations-options.ts";
import { PollAdvice, type PollConditions } from "./poll-advice.ts";
import { PullSettlement, type SettlementOptions } from "./pull-settlement.ts";
import { RefreshOnRead, type RefreshOptions } from "./refresh-on-read.ts";
import { RunDurations } from "./run-durations.ts";
import { SharedReads } from "./shared-reads.ts";
import type { Standing } from "./standing.ts";
import { WaitDeadlines } from "./wait-deadlines.ts";

/** Ended operations kept in memory, because pollers ask about them once more. */
const endedInMemory = 10_000;
/** Operations of other servers kept in memory. */
const followedInMemory = 10_000;
/** How long a delivered cancellation is followed to its end without anybody asking, in milliseconds. */
const followMs = 60_000;

/** Says of an operation that had ended when it was seen whether that is good enough. */
export type WillDo = (ended: EndedOperation) => boolean;
const never: WillDo = () => false;

/** What the store had, and when it was asked. */
interface SeenOperation {
  readonly stored: StoredOperation | undefined;
  readonly seenAtMs: number;
}

/** What the registry is made of. */
export interface RegistryParts {
  readonly store: OperationStore;
  readonly standing: Standing;
  readonly coordinator: CancellationCoordinator;
  readonly cutOffs: CutOffs;
  readonly options: OperationsOptions;
  /** Default: counts nothing. */
  readonly meter?: OperationsMeter;
  /** Sets an operation going that is stored as this server's and not in memory. */
  readonly recover: (stored: StoredOperation) => Promise<void>;
  /** Passes on a request to cancel that another server has written into this one's record. */
  readonly requested: (own: OwnOperation, reason: string) => void;
  /** Aborts when the registry closes. */
  readonly closed: AbortSignal;
}

/**
 * Every operation by its id: those that this server owns in memory, the others in the store.
 *
 * I1 An operation is owned in memory from its creation, or from when it was claimed, until its terminal status is
 *    stored or another server has it.
 * I2 When it ends, its token is released and its place taken by the last snapshot; its source is closed, unless its
 *    work is still to be cut off.
 * I3 Where other servers may delete an operation, what is kept of it once it has ended is only for those who say that it
 *    will do, and until it is found to be gone.
 */
export class OperationRegistry {
  readonly #parts: RegistryParts;
  readonly #own = new Map<string, OwnOperation>();
  readonly #children = new Map<string, Set<string>>();
  /** How many creates of an operation are under way, by its id. */
  readonly #creating = new Map<string, number>();
  readonly #followed = new LRUCache<string, PeersOperation>({ max: followedInMemory });
  readonly #ended = new LRUCache<string, EndedOperation>({ max: endedInMemory });
  readonly #reads: SharedReads<SeenOperation>;
  readonly #durations = new RunDurations();
  readonly #deadlines: WaitDeadlines;
  readonly #pollConditions: PollConditions;

  /** What all operations share: each of very many has only what is its own. */
  readonly #liveParts: Omit<LiveOperationParts, "stored" | "log">;
  readonly #settlementOptions: SettlementOptions;
  readonly #refreshOptions: RefreshOptions;
  readonly #deliveryOptions: CancellationDeliveryOptions;

  constructor(parts: RegistryParts) {
    const { cacheTtlMs, now } = parts.options;
    const load = new EventLoopLoad();
    this.#parts = parts;
    const { store, requested, closed, options } = parts;
    const { pullTimeoutMs, hostLostAfterMs, maxMetricRecords } = options;
    this.#liveParts = {
      store,
      maxMetricRecords,
      now,
      onRequest: ({ operationId }, reason) => {
        const own = this.#own.get(operationId);
        if (own) {
          requested(own, reason);
        }
      },
      onOver: (operation) => this.#over(operation),
    };
    this.#settlementOptions = {
      now,
      hostLostAfterMs,
      retentionMs: (stored) => this.retentionMs(stored),
      estimateRemainingMs: (info) => this.#durations.estimateRemainingMs(info, now()),
    };
    this.#refreshOptions = { now, pullTimeoutMs, meter: this.#meter };
    this.#deliveryOptions = {
      now,
      attemptTimeoutMs: pullTimeoutMs,
      closed,
      onDelivered: ({ operationId }) => void this.#own.get(operationId)?.watch.waitUntil(() => false, followMs),
    };
    this.#pollConditions = { cacheTtlMs, now, random: Math.random, load: () => load.utilization };
    this.#deadlines = new WaitDeadlines(parts.closed);
    this.#reads = new SharedReads(async (operationId) => {
      const seenAtMs = now();
      return { stored: await store.get(operationId), seenAtMs };
    });
  }

  /** The operations that this server owns and that have not ended. */
  get own(): Iterable<OwnOperation> {
    return this.#own.values();
  }

  /** The operations of other servers that are kept in memory. */
  get followed(): Iterable<PeersOperation> {
    return this.#followed.values();
  }

  /** An operation that this server owns and that has not ended; undefined for every other id. */
  active(operationId: string): OwnOperation | undefined {
    return this.#own.get(operationId);
  }

  /** An operation that has not ended, if it is in memory. */
  live(operationId: string): OwnOperation | PeersOperation | undefined {
    return this.#own.get(operationId) ?? this.#followed.get(operationId);
  }

  /**
   * An operation that need not be looked up in the store. `willDo` says whether one that had ended when it was last seen,
   * and that another server may have deleted since, is good enough; default never.
   */
  inMemory(operationId: string, willDo: WillDo = never): KnownOperation | undefined {
    const live = this.live(operationId);
    if (live) {
      return live;
    }
    const ended = this.#ended.get(operationId);
    return ended && (!this.#parts.standing.isShared || willDo(ended)) ? ended : undefined;
  }

  /**
   * An operation, with `willDo` as above. All who ask for one at a moment share a read of the store. CallError
   * OPERATION_NOT_FOUND or OPERATION_EXPIRED when there is none.
   */
  async find(operationId: string, willDo: WillDo = never): Promise<KnownOperation> {
    let known = this.inMemory(operationId, willDo);
    const earlierRead = known ? undefined : this.#reads.underWay(operationId);
    if (earlierRead) {
      await earlierRead;
      known = this.inMemory(operationId, willDo);
    }
    if (known) {
      return known;
    }
    const { stored, seenAtMs } = await this.#reads.read(operationId);
    if (!stored) {
      this.forget([operationId]);
      throw await this.#missing(operationId);
    }
    return this.#remember(stored, seenAtMs);
  }

  /** Those of the operations that exist, by id, with `willDo` as above. */
  async findMany(operationIds: readonly string[], willDo: WillDo = never): Promise<Map<string, KnownOperation>> {
    const found = new Map<string, KnownOperation>();
    const unknown: string[] = [];
    for (const operationId of operationIds) {
      const known = this.inMemory(operationId, willDo);
      if (known) {
        found.set(operationId, known);
      } else {
        unknown.push(operationId);
      }
    }
    const seenAtMs = this.#parts.options.now();
    const read = unknown.length > 0 ? await this.#parts.store.getMany(unknown) : [];
    // What is not remembered anew is gone.
    this.forget(unknown);
    for (const stored of read) {
      found.set(stored.info.operationId, await this.#remember(stored, seenAtMs));
    }
    return found;
  }

  /** An operation of a list that had not ended. Undefined when it is gone. */
  async listed({ info, owner }: ListedOperation): Promise<KnownOperation | undefined> {
    const own = this.#own.get(info.operationId);
    if (own) {
      return own;
    }
    // What this server has just got, or has just seen to its end, is in the store.
    return owner === this.#parts.standing.instanceId
      ? this.find(info.operationId).catch(ifMissing)
      : this.#follow(info, owner);
  }

  /** The children of an operation that this server owns and that have not ended. */
  childrenOf(operationId: string): OwnOperation[] {
    const children: OwnOperation[] = [];
    for (const child of this.#children.get(operationId) ?? []) {
      const own = this.#own.get(child);
      if (own) {
        children.push(own);
      }
    }
    return children;
  }

  /** Keeps an operation from being recovered while it is being created: its creator sets it going. */
  async whileCreating<T>(operationId: string, create: () => Promise<T>): Promise<T> {
    this.#creating.set(operationId, (this.#creating.get(operationId) ?? 0) + 1);
    try {
      return await create();
    } finally {
      const others = (this.#creating.get(operationId) ?? 1) - 1;
      if (others > 0) {
        this.#creating.set(operationId, others);
      } else {
        this.#creating.delete(operationId);
        const own = this.#own.get(operationId);
        if (own && !own.operation.executor) {
          // Somebody has read it meanwhile, and no creator has set it going: whoever reads it next does.
          own.operation.leave();
        }
      }
    }
  }

  /** Whether nothing need be done for an operation that is stored as this server's. */
  isLookedAfter(operationId: string): boolean {
    return this.#own.has(operationId) || this.#creating.has(operationId) || this.#parts.cutOffs.has(operationId);
  }

  /** Begins to own an operation that has not ended, as the store says; the same one each time. */
  track(stored: StoredOperation, log: MetricsLog, origin?: CallOrigin): OwnOperation {
    const { operationId, parentOperationId } = stored.info;
    const known = this.#own.get(operationId);
    if (known) {
      return known;
    }
    const { cacheTtlMs } = this.#parts.options;
    const operation = new LiveOperation({
      ...this.#liveParts,
      stored,
      log,
      origin: origin ?? storedOrigin(stored),
    });
    const settlement = new PullSettlement(operation, this.#settlementOptions);
    const refresh = new RefreshOnRead(operation, settlement, this.#refreshOptions);
    const watch = new ChangeWatch(operation, refresh, this.#deadlines, cacheTtlMs);
    const delivery = new CancellationDelivery(operation, this.#deliveryOptions);
    const advice = new PollAdvice(operation, refresh, this.#pollConditions);
    const own: OwnOperation = { kind: "own", operation, refresh, watch, advice, delivery };
    this.#own.set(operationId, own);
    this.#followed.delete(operationId);
    if (parentOperationId !== "") {
      const siblings = this.#children.get(parentOperationId) ?? new Set();
      this.#children.set(parentOperationId, siblings.add(operationId));
    }
    return own;
  }

  /** Gives up everything: this server was taken for dead, and others take over. */
  abandon(): void {
    for (const { operation } of [...this.#own.values()]) {
      operation.leave();
    }
    this.#parts.cutOffs.abandon();
  }

  /** Forgets what is kept of ended operations that are no longer in the store. */
  forget(operationIds: Iterable<string>): void {
    for (const operationId of operationIds) {
      this.#ended.delete(operationId);
    }
  }

  /** How long the record of an operation is kept after its end, in milliseconds. */
  retentionMs(stored: Pick<StoredOperation, "request">): number {
    const { retention } = stored.request;
    return retention ? durationMs(retention) : this.#parts.options.retentionMs;
  }

  get #meter(): OperationsMeter {
    return this.#parts.meter ?? noOperationsMeter;
  }

  #over(operation: LiveOperation): void {
    this.#forgetOwn(operation);
    this.#durations.note(operation.info);
    if (operation.hasMoved) {
      this.#abandon(operation);
    } else {
      this.#end(operation);
    }
    this.#parts.coordinator.release(operation.operationId);
  }

  #forgetOwn({ info: { operationId, parentOperationId } }: LiveOperation): void {
    this.#own.delete(operationId);
    const siblings = this.#children.get(parentOperationId);
    if (siblings?.delete(operationId) && siblings.size === 0) {
      this.#children.delete(parentOperationId);
    }
  }

  #end(operation: LiveOperation): void {
    const { stored, source } = operation;
    this.#meter.ended(stored.info);
    this.#rememberEnded(stored, this.#parts.options.now());
    const { operationId, cancellation } = stored.info;
    if (cancellation) {
      // Work that goes on although its record was settled by force hears of it.
      this.#parts.coordinator.cancel(operationId, cancellation.reason);
    }
    if (stored.owner === "") {
      source?.close();
    } else {
      this.#parts.cutOffs.begin(stored, source ?? hostOf(operation));
    }
  }

  /** Cuts off what runs in this process; a host's work is the new owner's. */
  #abandon({ operationId, executor, source }: LiveOperation): void {
    const reason = "this server was taken for dead, and another one has taken the operation over";
    executor?.withdraw(operationId, true);
    this.#parts.coordinator.cancel(operationId, reason);
    if (source?.host === "") {
      void source.cancel({ reason, force: true, signal: this.#parts.closed });
    }
    source?.close();
  }

  async #remember(stored: StoredOperation, seenAtMs: number): Promise<KnownOperation> {
    if (hasEnded(stored.info)) {
      return this.#rememberEnded(stored, seenAtMs);
    }
    if (stored.owner !== this.#parts.standing.instanceId) {
      return this.#follow(stored.info, stored.owner);
    }
    const { operationId } = stored.info;
    if (this.#creating.has(operationId)) {
      return this.track(stored, { cursor: 0, summary: new Uint8Array() });
    }
    await this.#parts.recover(stored);
    return this.find(operationId);
  }

  #rememberEnded(stored: StoredOperation, seenAtMs: number): EndedOperation {
    const ended: EndedOperation = { kind: "ended", stored, seenAtMs };
    this.#ended.set(stored.info.operationId, ended);
    return ended;
  }

  async #follow(info: OperationInfo, owner: string): Promise<PeersOperation> {
    const { operationId } = info;
    const { store, standing, options } = this.#parts;
    if (!standing.peer(owner)) {
      // The owner may have come after this server has last looked who is there.
      await standing.confirm();
    }
    const known = this.#followed.get(operationId);
    if (known && known.operation.owner === owner && !known.operation.isOver) {
      return known;
    }
    const findSource = () => standing.peer(owner)?.source(operationId);
    const operation = new FollowedOperation({ store, info, owner, findSource });
    const refresh = new RefreshOnRead(operation, operation, { ...this.#refreshOptions, sourceName: "peer" });
    const watch = new ChangeWatch(operation, refresh, this.#deadlines, options.cacheTtlMs);
    const advice = new PollAdvice(operation, refresh, this.#pollConditions);
    const followed: PeersOperation = { kind: "peers", operation, refresh, watch, advice };
    this.#followed.set(operationId, followed);
    operation.onChange(() => {
      if (operation.isOver && this.#followed.get(operationId) === followed) {
        this.#followed.delete(operationId);
      }
    });
    return followed;
  }

  async #missing(operationId: string): Promise<CallError> {
    const expiredAtMs = await this.#parts.store.expiredAt(operationId);
    return expiredAtMs === undefined
      ? operationNotFound(operationId)
      : new CallError(
          "OPERATION_EXPIRED",
          `operation ${operationId} was removed on ${new Date(expiredAtMs).toISOString()}, after its retention`,
          { operationId },
        );
  }
}

/** What is known after a restart of how the creating call came here. */
function storedOrigin({ traceparent }: StoredOperation): CallOrigin {
  return { via: [], ...(traceparent !== undefined && { trace: traceContextOf(traceparent) }) };
}

/** The host that may have received an operation without having said so. */
function hostOf({ executor, stored }: LiveOperation): OperationSource | undefined {
  const recovery = executor?.host ? executor.recover(stored) : undefined;
  return recovery?.outcome === "attached" ? recovery.source : undefined;
}
