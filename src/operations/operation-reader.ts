import { FreshnessSource, type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { CallError, ifMissing } from "./errors.ts";
import {
  type EndedOperation,
  hasMoved,
  infoOf,
  type KnownOperation,
  type OwnOperation,
  type PeersOperation,
} from "./known-operation.ts";
import type { OperationRegistry } from "./operation-registry.ts";
import { followingRevision, hasEnded, seenAgain } from "./operation-snapshot.ts";
import type { OperationStore } from "./operation-store.ts";
import { noOperationsMeter, type OperationsMeter } from "./operations-meter.ts";
import type { OperationsOptions } from "./operations-options.ts";
import { checkOperationId } from "./request-checks.ts";
import { revisionAt } from "./revision.ts";
import type { Standing } from "./standing.ts";

/** How much longer than one pull a read waits for the state, in milliseconds; draining metrics may take longer. */
const readMarginMs = 250;
/** How far ahead a revision may be that a server has given, in milliseconds: others are a caller's invention. */
const clockErrorMs = 60_000;
/** How often a read follows an operation that moves from server to server. */
const movesFollowed = 4;

/** How fresh an answer is wanted. */
export interface Wanted {
  /** The oldest observation that will do, in milliseconds. Default: the cache TTL. */
  readonly maxStalenessMs?: number | undefined;
  /** The revision the caller has. Default 0, none. */
  readonly knownRevision?: bigint;
  /** Metric records are wanted, too. Default false. */
  readonly metrics?: boolean;
}

/** What a wait waits for. */
export interface Wait {
  /** The revision the caller has; 0 means the one at the time of the call. */
  readonly knownRevision: bigint;
  /** Wait for the end instead of for the next change. */
  readonly untilDone: boolean;
  readonly timeoutMs: number;
  /** Ends the wait. Default: only the timeout and the registry's end do. */
  readonly signal?: AbortSignal;
}

/** An operation that was read, and why it may have moved on since. */
export interface Reading {
  readonly known: KnownOperation;
  /** Undefined when the snapshot speaks for itself. */
  readonly staleReason: string | undefined;
}

/** When a wait that was one too many is tried again, in milliseconds. */
const waiterRetryMs = 1_000;
const never = () => false;

/** What reading needs. */
export interface ReaderParts {
  readonly registry: OperationRegistry;
  readonly store: OperationStore;
  readonly standing: Standing;
  readonly options: OperationsOptions;
  /** Default: counts nothing. */
  readonly meter?: OperationsMeter;
}

/**
 * Reads operations, refreshed as far as is wanted and possible in time.
 *
 * I1 No answer takes back what another server has said before the question, except one marked stale: what this server
 *    owns is answered only while it can be sure of that, and not while a write of it is under way; what another one
 *    owns or may have deleted is asked for after the question, unless the caller said how old it may be or which
 *    revision it has.
 * I2 Nobody waits longer than one pull may take, whatever host, server or store does not answer.
 */
export class OperationReader {
  readonly #parts: ReaderParts;
  readonly #meter: OperationsMeter;
  #waiters = 0;

  constructor(parts: ReaderParts) {
    this.#parts = parts;
    this.#meter = parts.meter ?? noOperationsMeter;
  }

  /** Reads one operation. CallError OPERATION_NOT_FOUND or OPERATION_EXPIRED when there is none. */
  read(operationId: string, wanted: Wanted = {}): Promise<Reading> {
    const reading = this.#atOnce(operationId, wanted);
    return reading ? Promise.resolve(reading) : this.#readInTime(operationId, wanted);
  }

  async #readInTime(operationId: string, wanted: Wanted): Promise<Reading> {
    for (let moves = 0; ; moves++) {
      const known = await this.#parts.registry.find(operationId, (ended) => this.#willDo(ended, wanted));
      const reading = await this.refreshed(known, wanted);
      if (!hasMoved(known) || moves === movesFollowed) {
        return reading;
      }
    }
  }

  /**
   * What is known well enough to be answered without a wait for anything, which is what nearly every poll finds: an
   * operation that has ended and that no other server can have deleted before the caller minds, or one that no other
   * server can own and that was observed just now.
   */
  #atOnce(operationId: string, wanted: Wanted): Reading | undefined {
    const { registry, standing, options } = this.#parts;
    const known = registry.inMemory(operationId, (ended) => this.#willDo(ended, wanted));
    if (known?.kind === "ended") {
      return this.reading(known);
    }
    if (known?.kind !== "own" || standing.isShared || !standing.isSure) {
      return undefined;
    }
    const { operation, refresh } = known;
    const { maxStalenessMs = options.cacheTtlMs, knownRevision = 0n, metrics = false } = wanted;
    const isSettled = !operation.hasMoved && !operation.isInDoubt && knownRevision <= operation.info.revision;
    if (!isSettled || (operation.source && !refresh.isFresh(maxStalenessMs, metrics))) {
      return undefined;
    }
    this.#meter.readCached();
    return this.reading(known);
  }

  /** Reads those of the operations that exist, by id. */
  async readMany(
    operationIds: readonly string[],
    wantedOf: (operationId: string) => Wanted,
  ): Promise<Map<string, Reading>> {
    const found = await this.#parts.registry.findMany(operationIds, (ended) =>
      this.#willDo(ended, wantedOf(ended.stored.info.operationId)),
    );
    const readings = await Promise.all(
      [...found].map(async ([operationId, known]): Promise<[string, Reading] | undefined> => {
        const wanted = wantedOf(operationId);
        const reading = await this.refreshed(known, wanted);
        if (!hasMoved(known)) {
          return [operationId, reading];
        }
        const again = await this.read(operationId, wanted).catch(ifMissing);
        return again && [operationId, again];
      }),
    );
    return new Map(readings.filter((reading) => reading !== undefined));
  }

  /**
   * Waits as told and answers the operation as it is then. CallError TOO_MANY_WAITERS when as many are waiting as may.
   */
  async wait(operationId: string, { knownRevision, untilDone, timeoutMs, signal }: Wait): Promise<OperationInfo> {
    checkOperationId(operationId);
    const { maxWaiters } = this.#parts.options;
    if (this.#waiters >= maxWaiters) {
      throw new CallError("TOO_MANY_WAITERS", `this server holds ${maxWaiters} waits already; poll instead`, {
        operationId,
        retryAfterMs: waiterRetryMs,
      });
    }
    this.#waiters += 1;
    try {
      const deadlineMs = performance.now() + timeoutMs;
      let since = knownRevision;
      for (;;) {
        const reading = await this.read(operationId, { knownRevision: since });
        const { known } = reading;
        if (known.kind === "ended") {
          return this.answer(reading);
        }
        since = since === 0n ? known.operation.info.revision : since;
        const isEnough = untilDone ? never : isNews(known, since);
        const end = await known.watch.waitUntil(isEnough, deadlineMs - performance.now(), signal);
        if (end === "timeUp" || !hasMoved(known)) {
          return this.answer(this.reading(known));
        }
      }
    } finally {
      this.#waiters -= 1;
    }
  }

  /** Refreshes an operation as far as is wanted and possible in time. */
  async refreshed(known: KnownOperation, wanted: Wanted): Promise<Reading> {
    const problem =
      known.kind === "ended"
        ? undefined
        : await (known.kind === "own" ? this.#refreshOwn(known, wanted) : this.#refreshPeers(known, wanted));
    const reading = this.reading(known);
    return problem === undefined ? reading : { known, staleReason: problem };
  }

  /** An operation as it is known now. */
  reading(known: KnownOperation): Reading {
    return { known, staleReason: this.#staleReason(known) };
  }

  /** The snapshot to answer. Of an operation that waits for its turn in this process, the registry knows all. */
  answer({ known, staleReason }: Reading): OperationInfo {
    const info = infoOf(known);
    if (staleReason !== undefined && !hasEnded(info) && info.freshness) {
      return { ...info, freshness: { ...info.freshness, stale: true, staleReason } };
    }
    const waitsHere = known.kind === "own" && info.status === OperationStatus.PENDING && info.host === "";
    return waitsHere ? seenAgain(info, FreshnessSource.LOCAL, this.#parts.options.now()) : info;
  }

  async #refreshOwn({ operation, refresh }: OwnOperation, wanted: Wanted): Promise<string | undefined> {
    const { standing, options } = this.#parts;
    const { maxStalenessMs = options.cacheTtlMs, knownRevision = 0n, metrics = false } = wanted;
    // A caller who knows more has it from a server that took over.
    if (!standing.isSure || (standing.isShared && knownRevision > operation.info.revision)) {
      await standing.confirm();
    }
    // What could have been taken over is not observed any further: its revisions are another server's.
    if (operation.hasMoved || !standing.isSure) {
      return undefined;
    }
    if (knownRevision > operation.info.revision && knownRevision <= revisionAt(options.now() + clockErrorMs)) {
      // The caller has it from before a crash, which took what was not stored. What is known now comes after that.
      await operation.observe((current) => followingRevision(current, knownRevision, options.now()));
    }
    const isFresh = !operation.source || refresh.isFresh(maxStalenessMs, metrics);
    if (isFresh) {
      this.#meter.readCached();
    }
    // A source that is late, or has many records, is asked on: the next read finds what it says.
    const problem = isFresh ? undefined : await this.#inTime(refresh.refresh(maxStalenessMs, metrics), undefined);
    // What others may see in the store already must not be taken back here.
    const unseen = operation.isInDoubt ? operation.reload() : standing.isShared ? operation.writing : undefined;
    return (unseen && (await this.#inTime(unseen, "the store has not answered in time"))) ?? problem;
  }

  async #refreshPeers({ operation, refresh }: PeersOperation, wanted: Wanted): Promise<string | undefined> {
    const { metrics = false } = wanted;
    const allowedMs = this.#allowedAgeMs(wanted, operation.info.revision);
    if (refresh.isFresh(allowedMs, metrics)) {
      this.#meter.readCached();
      return undefined;
    }
    return this.#inTime(refresh.refresh(allowedMs, metrics), "the server that owns it has not answered in time");
  }

  /** I1: how old a snapshot may be of what other servers may change, in milliseconds; 0 if it must be from now. */
  #allowedAgeMs({ maxStalenessMs, knownRevision = 0n }: Wanted, revision: bigint): number {
    if (knownRevision > revision) {
      return 0;
    }
    return maxStalenessMs ?? (knownRevision === 0n ? 0 : this.#parts.options.cacheTtlMs);
  }

  /** Whether an operation that another server may have deleted since it was seen will do. Its metrics would be gone. */
  #willDo({ stored, seenAtMs }: EndedOperation, wanted: Wanted): boolean {
    const { now, cacheTtlMs } = this.#parts.options;
    const ageMs = now() - seenAtMs;
    // However old it may be, a deletion is to be seen within the TTL. An age below 0 says that the clock was set back.
    const allowedMs = Math.min(this.#allowedAgeMs(wanted, stored.info.revision), cacheTtlMs);
    return !wanted.metrics && allowedMs > 0 && ageMs >= 0 && ageMs <= allowedMs;
  }

  #staleReason(known: KnownOperation): string | undefined {
    switch (known.kind) {
      case "own": {
        const { trouble } = this.#parts.store;
        return trouble === undefined && this.#parts.standing.isSure
          ? undefined
          : `the store cannot be used: ${trouble ?? "it has not confirmed in time that this server still owns it"}`;
      }
      case "peers":
        return known.operation.staleReason;
      case "ended":
        return undefined;
    }
  }

  /**
   * Waits for what may depend on a host or the store, but no longer than a caller may have to wait for a dead one.
   * Answers why the snapshot may be out of date then: `late` when the time was over, or the store's trouble.
   */
  #inTime(done: Promise<unknown>, late: string | undefined): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => resolve(late), this.#parts.options.pullTimeoutMs + readMarginMs).unref();
      const settle = (error?: unknown) => {
        clearTimeout(timer);
        if (error === undefined) {
          resolve(undefined);
        } else if (error instanceof CallError && error.reason === "STORE_UNAVAILABLE") {
          resolve(error.message);
        } else {
          reject(error);
        }
      };
      done.then(() => settle(), settle);
    });
  }
}

/** Tells what a caller does not know yet who has a revision. */
function isNews({ kind }: KnownOperation, knownRevision: bigint): (info: OperationInfo) => boolean {
  // Of another server's operation, a smaller revision only says that this server knows less than the caller.
  return kind === "own" ? ({ revision }) => revision !== knownRevision : ({ revision }) => revision > knownRevision;
}
