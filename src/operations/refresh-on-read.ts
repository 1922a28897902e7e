import { FreshnessSource, type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { isTerminal } from "./life-cycle.ts";
import type { LiveOperation } from "./live-operation.ts";
import { mergeObservation } from "./observation.ts";
import { operationError } from "./operation-errors.ts";
import { endedSnapshot, hasEnded, staleSnapshot } from "./operation-snapshot.ts";
import type { OperationSource, PullResult } from "./operation-source.ts";

/** What refreshing needs to know beside the operation. */
export interface RefreshOptions {
  /** How long one pull may take, in milliseconds. */
  readonly pullTimeoutMs: number;
  /** How long a source may be unreachable before its operation counts as lost, in milliseconds. */
  readonly hostLostAfterMs: number;
  /** How long the record is kept after its end, in milliseconds. */
  readonly retentionMs: number;
  readonly now: () => number;
  readonly estimateRemainingMs: (info: OperationInfo) => number | undefined;
}

/** How often a source must deny knowing an operation before that is believed. */
const denialsBelieved = 2;

/**
 * Refreshes one operation from its source when somebody asks.
 *
 * I1 At most one pull is under way; everybody who asks meanwhile waits for the same one.
 * I2 A pull that failed is remembered like one that succeeded, so a dead source is asked once per TTL, too.
 * I3 The pull has a deadline of its own and no caller's signal, so no caller can fail another.
 * I4 An unreachable source makes the snapshot stale; only time or repeated denial makes it FAILED.
 */
export class RefreshOnRead {
  readonly #operation: LiveOperation;
  readonly #options: RefreshOptions;
  #flight: { readonly metrics: boolean; readonly done: Promise<void> } | undefined;
  #pulledAtMs = Number.NEGATIVE_INFINITY;
  #metricsPulledAtMs = Number.NEGATIVE_INFINITY;
  #unreachableSinceMs: number | undefined;
  #denials = 0;
  #sourceAttempt: number | undefined;

  constructor(operation: LiveOperation, options: RefreshOptions) {
    this.#operation = operation;
    this.#options = options;
  }

  /**
   * Resolves when the snapshot, and with `metrics` the log, is at most `maxStalenessMs` old or could not be made so.
   * Never rejects for a source's sake; rejects when the store cannot be written.
   */
  async refresh(maxStalenessMs: number, metrics: boolean): Promise<void> {
    const askedAtMs = this.#options.now();
    while (this.#operation.source && !hasEnded(this.#operation.info)) {
      const pulledAtMs = metrics ? this.#metricsPulledAtMs : this.#pulledAtMs;
      // With a staleness of 0, a pull that began after the question is the answer.
      if (pulledAtMs >= askedAtMs - maxStalenessMs && pulledAtMs !== Number.NEGATIVE_INFINITY && maxStalenessMs > 0) {
        return;
      }
      const flight = this.#flight;
      if (flight) {
        await flight.done;
        if (flight.metrics || !metrics) {
          return;
        }
      } else {
        await this.#begin(this.#operation.source, metrics);
        return;
      }
    }
  }

  /** Reads everything the source holds now, metrics included, with a pull that begins after this call. */
  async drain(): Promise<void> {
    while (this.#flight) {
      await this.#flight.done.catch(() => {});
    }
    if (this.#operation.source && !hasEnded(this.#operation.info)) {
      await this.#begin(this.#operation.source, true);
    }
  }

  #begin(source: OperationSource, metrics: boolean): Promise<void> {
    const done = this.#pull(source, metrics).finally(() => {
      this.#flight = undefined;
    });
    this.#flight = { metrics, done };
    return done;
  }

  async #pull(source: OperationSource, metrics: boolean): Promise<void> {
    const operation = this.#operation;
    let result = await this.#ask(source, metrics);
    // I2: the age counts from the answer, or a slow source would be asked without a pause.
    this.#pulledAtMs = this.#options.now();
    while (result.outcome === "observed") {
      await operation.append(result.records);
      const ended = isTerminal(result.info.status);
      if (!result.hasMore || !(metrics || ended)) {
        break;
      }
      if (result.records.length === 0) {
        result = { outcome: "unreachable", reason: "the source promises metric records and sends none" };
        break;
      }
      result = await this.#ask(source, true);
    }
    if (metrics) {
      this.#metricsPulledAtMs = this.#options.now();
    }
    await this.#settle(result);
  }

  /** One pull under the deadline. */
  async #ask(source: OperationSource, metrics: boolean): Promise<PullResult> {
    const signal = AbortSignal.timeout(this.#options.pullTimeoutMs);
    try {
      return await source.pull({ cursor: this.#operation.cursor, metrics, signal });
    } catch (error) {
      if (signal.aborted) {
        return { outcome: "unreachable", reason: `no answer within ${this.#options.pullTimeoutMs} ms` };
      }
      throw error;
    }
  }

  async #settle(result: PullResult): Promise<void> {
    const { now } = this.#options;
    switch (result.outcome) {
      case "observed":
        this.#unreachableSinceMs = undefined;
        this.#denials = 0;
        await this.#observed(result.info);
        return;
      case "unreachable": {
        this.#unreachableSinceMs ??= now();
        const lostForMs = now() - this.#unreachableSinceMs;
        if (lostForMs >= this.#options.hostLostAfterMs) {
          await this.#lost(`not reachable for ${Math.round(lostForMs / 1000)} s: ${result.reason}`);
        } else {
          await this.#operation.observe((current) => staleSnapshot(current, result.reason, now()));
        }
        return;
      }
      case "gone":
        this.#unreachableSinceMs = undefined;
        this.#denials += 1;
        if (this.#denials >= denialsBelieved) {
          await this.#lost(result.reason);
        } else {
          await this.#operation.observe((current) => staleSnapshot(current, result.reason, now()));
        }
        return;
    }
  }

  async #observed(info: OperationInfo): Promise<void> {
    const operation = this.#operation;
    // A host counts the runs it has seen; a retried operation has had more.
    const knownAttempt = this.#sourceAttempt ?? Math.min(info.attempt, operation.info.attempt);
    const newAttempts = Math.max(0, info.attempt - knownAttempt);
    this.#sourceAttempt = Math.max(info.attempt, knownAttempt);
    // I4 of LiveOperation: a host shows its stored cursor; of a bridge, what has been stored here counts.
    const observed = operation.source?.host ? info : { ...info, metricsCursor: BigInt(operation.cursor) };
    const merge = (current: OperationInfo) =>
      mergeObservation(current, observed, {
        source: operation.source?.host ? FreshnessSource.HOST : FreshnessSource.LOCAL,
        nowMs: this.#options.now(),
        retentionMs: this.#options.retentionMs,
        newAttempts,
        estimateRemainingMs: this.#options.estimateRemainingMs,
      });
    const moves = merge(operation.info).status !== operation.info.status;
    if (moves) {
      await operation.change((current) => ({ info: merge(current) }));
    } else {
      await operation.observe((current) => {
        const next = merge(current);
        return next.status === current.status ? next : current;
      });
    }
  }

  async #lost(reason: string): Promise<void> {
    const { now, retentionMs } = this.#options;
    const where = this.#operation.source?.host || "this process";
    const error = operationError("HOST_LOST", `host ${where} lost the operation: ${reason}`);
    await this.#operation.change((current) =>
      current.status === OperationStatus.PENDING || current.status === OperationStatus.RUNNING
        ? { info: endedSnapshot(current, { status: "failed", error }, retentionMs, now()) }
        : undefined,
    );
  }
}
