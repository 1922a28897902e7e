import { type Duration, durationFromMs } from "@bufbuild/protobuf/wkt";
import { type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { movingMean } from "./moving-mean.ts";
import type { PulledOperation } from "./pulled-operation.ts";

/** No poll is worth while earlier, in milliseconds; a longer cache TTL takes its place. */
const shortestMs = 250;
/** None is put off for longer, in milliseconds, unless the cache TTL is longer. */
const longestMs = 10_000;
/** Advice is made longer by up to this share of itself, so that who was answered together does not come back together. */
const spread = 0.25;
/** The longest time between two changes that counts: beyond, the mean would only be slow to come down. */
const longestQuietMs = 2 * longestMs;
/** For how long the same advice is given, in milliseconds. */
const sameForMs = 50;
/** Event loop utilisation from which on polls are put off, and by how much more as it goes to 1. */
const busyFrom = 0.7;
const stretchWhenFull = 4;

/** What advice depends on beside the operation. */
export interface PollConditions {
  /** Age up to which a poll asks no source, in milliseconds. */
  readonly cacheTtlMs: number;
  /** The clock: milliseconds since the epoch. */
  readonly now: () => number;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** How busy this server is, from 0 to 1. */
  readonly load: () => number;
}

interface Advice {
  readonly madeAtMs: number;
  readonly next: Duration;
  readonly afterWait: Duration;
}

/** The soonest a poll is worth while, in milliseconds. */
export function soonestPollMs(cacheTtlMs: number): number {
  return Math.max(shortestMs, cacheTtlMs);
}

/**
 * When the next call about one operation is worth while:
 *
 *     max(TTL, 250 ms, half the time until a change is expected, twice what a refresh takes) × stretch, at most 10 s
 *
 * and then up to a quarter more at random, within the 10 s.
 *
 * - Within the TTL a poll is answered from the cache. A TTL beyond 10 s takes their place.
 * - A change is expected after the weighted mean of the times between the last ones; when it is overdue, after as long
 *   again as nothing has happened. With half of that, a change is seen after a quarter of it on average. And who polls
 *   less often than changes come sees one with each poll, takes that for their pace, and so comes down to it.
 * - A new status, attempt or cancellation begins anew: what was before says nothing of what comes. So who has just
 *   created, started or cancelled an operation polls soon, and then ever less often.
 * - That a source has become unreachable, and why, is no change of the operation: then polls are put off for longer the
 *   longer it lasts, and come soon again once it answers.
 * - A source that takes long to answer is asked for a third of the time at most.
 * - Above a utilisation of 0.7 polls are stretched, to four times at 1: that takes load away before callers notice.
 *
 * I1 Advice is made at most every 50 ms, and is the same object in between: a poll costs a look at the clock, and an
 *    answer that was encoded can be used again. A crowd that comes at once is answered over a longer time than that, and
 *    leaves with different advice, also where clients add no randomness of their own.
 */
export class PollAdvice {
  readonly #operation: PulledOperation;
  readonly #refresh: { readonly costMs: number };
  readonly #conditions: PollConditions;
  #last: Advice | undefined;
  /** What was last seen of the operation. */
  #revision = 0n;
  #status: OperationStatus = OperationStatus.UNSPECIFIED;
  #attempt = 0;
  #isCancelled = false;
  #isStale = false;
  #changedAtMs = 0;
  #meanMs = 0;

  /** `refresh` says what a refresh takes, in milliseconds. */
  constructor(operation: PulledOperation, refresh: { readonly costMs: number }, conditions: PollConditions) {
    this.#operation = operation;
    this.#refresh = refresh;
    this.#conditions = conditions;
  }

  /** When to poll again. The message is shared: not to be changed. */
  get next(): Duration {
    return this.#current().next;
  }

  /** When to wait again after a wait, which has been the pause already: the shortest, stretched and spread as well. */
  get afterWait(): Duration {
    return this.#current().afterWait;
  }

  #current(): Advice {
    const nowMs = this.#conditions.now();
    const { info } = this.#operation;
    const ageMs = this.#last ? nowMs - this.#last.madeAtMs : -1;
    if (!this.#last || ageMs < 0 || ageMs >= sameForMs || info.revision !== this.#revision) {
      this.#look(info);
      this.#last = this.#make(nowMs);
    }
    return this.#last;
  }

  #make(madeAtMs: number): Advice {
    const { cacheTtlMs, random, load } = this.#conditions;
    const floorMs = soonestPollMs(cacheTtlMs);
    const ceilingMs = Math.max(floorMs, longestMs / (1 + spread));
    const expectedMs = Math.max(this.#meanMs, madeAtMs - this.#changedAtMs);
    const wantedMs = Math.max(floorMs, expectedMs / 2, 2 * this.#refresh.costMs);
    const stretch = 1 + (stretchWhenFull - 1) * Math.max(0, (load() - busyFrom) / (1 - busyFrom));
    const factor = 1 + spread * random();
    return {
      madeAtMs,
      next: durationFromMs(Math.round(Math.min(wantedMs * stretch, ceilingMs) * factor)),
      afterWait: durationFromMs(Math.round(shortestMs * stretch * factor)),
    };
  }

  /** Notes what has changed since the last look. A revision is the time of its change, in microseconds. */
  #look(info: OperationInfo): void {
    const { revision, status, attempt } = info;
    if (revision === this.#revision) {
      return;
    }
    const isCancelled = info.cancellation !== undefined;
    const isStale = info.freshness?.stale ?? false;
    const changedAtMs = Number(revision / 1_000n);
    if (status !== this.#status || attempt !== this.#attempt || isCancelled !== this.#isCancelled) {
      this.#meanMs = 0;
    } else if (!isStale && !this.#isStale) {
      this.#meanMs = movingMean(this.#meanMs, Math.min(changedAtMs - this.#changedAtMs, longestQuietMs));
    }
    if (!(isStale && this.#isStale)) {
      this.#changedAtMs = changedAtMs;
    }
    this.#revision = revision;
    this.#status = status;
    this.#attempt = attempt;
    this.#isCancelled = isCancelled;
    this.#isStale = isStale;
  }
}
