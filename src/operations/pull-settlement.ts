import { FreshnessSource, type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { timeoutOutcome } from "./execution-timeout.ts";
import type { LiveOperation } from "./live-operation.ts";
import { mergeObservation } from "./observation.ts";
import { operationError } from "./operation-errors.ts";
import { endedSnapshot, staleSnapshot } from "./operation-snapshot.ts";
import type { PullResult } from "./operation-source.ts";
import type { StoredOperation } from "./operation-store.ts";

/** What settling needs to know beside the operation; the same for all. */
export interface SettlementOptions {
  /** How long a source may be unreachable before its operation counts as lost, in milliseconds. */
  readonly hostLostAfterMs: number;
  /** How long the record of an operation is kept after its end, in milliseconds. */
  readonly retentionMs: (stored: StoredOperation) => number;
  readonly now: () => number;
  readonly estimateRemainingMs: (info: OperationInfo) => number | undefined;
}

/** How often a source must deny knowing an operation before that is believed. */
const denialsBelieved = 2;

/**
 * Turns what pulls from a source have found into changes of the operation that this server owns.
 *
 * An unreachable source makes the snapshot stale; only time or repeated denial makes the operation FAILED. Of a lost
 * one, the work is cut off should its host come back.
 */
export class PullSettlement {
  readonly #operation: LiveOperation;
  readonly #options: SettlementOptions;
  #unreachableSinceMs: number | undefined;
  #denials = 0;
  #sourceAttempt: number | undefined;

  constructor(operation: LiveOperation, options: SettlementOptions) {
    this.#operation = operation;
    this.#options = options;
  }

  /** Draws the conclusions from one pull. Rejects when the store cannot be written. */
  async settle(result: PullResult): Promise<void> {
    const { now } = this.#options;
    switch (result.outcome) {
      case "observed":
        this.#unreachableSinceMs = undefined;
        this.#denials = 0;
        await this.#observed(result.info);
        return;
      case "unreachable": {
        // A host that does not let this server in is not lost; it is for people to mend that.
        this.#unreachableSinceMs = result.isThere ? now() : (this.#unreachableSinceMs ?? now());
        const lostForMs = now() - this.#unreachableSinceMs;
        if (lostForMs >= this.#options.hostLostAfterMs) {
          await this.#lost(`not reachable for ${Math.round(lostForMs / 1000)} s: ${result.reason}`, true);
        } else {
          await this.#operation.observe((current) => staleSnapshot(current, result.reason, now()));
        }
        return;
      }
      case "gone":
        this.#unreachableSinceMs = undefined;
        this.#denials += 1;
        if (this.#denials >= denialsBelieved) {
          await this.#lost(result.reason, false);
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
    const { metricsLimit } = operation;
    // I4 of LiveOperation: a host shows its stored cursor; of a bridge, what has been stored here counts.
    const metricsCursor = operation.source?.host ? metricsLimit.upTo(info.metricsCursor) : BigInt(operation.cursor);
    const state = { ...info, metricsCursor, warnings: metricsLimit.warnings(operation.info.warnings, info.warnings) };
    // The host was told to cancel it; why, it does not know.
    const timeout =
      info.status === OperationStatus.CANCELLED ? timeoutOutcome(operation.stored, operation.info) : undefined;
    const observed = timeout ? { ...state, status: OperationStatus.FAILED, error: timeout.error } : state;
    const before = operation.info;
    const mergeInto = (current: OperationInfo) =>
      mergeObservation(current, observed, {
        source: operation.source?.host ? FreshnessSource.HOST : FreshnessSource.LOCAL,
        nowMs: this.#options.now(),
        retentionMs: this.#options.retentionMs(operation.stored),
        newAttempts,
        estimateRemainingMs: this.#options.estimateRemainingMs,
      });
    const after = mergeInto(before);
    const merge = (current: OperationInfo) => (current === before ? after : mergeInto(current));
    if (after.status !== before.status) {
      await operation.change((current) => ({ info: merge(current) }));
    } else {
      await operation.observe((current) => {
        const next = merge(current);
        return next.status === current.status ? next : current;
      });
    }
  }

  async #lost(reason: string, mayComeBack: boolean): Promise<void> {
    const { now } = this.#options;
    const retentionMs = this.#options.retentionMs(this.#operation.stored);
    const where = this.#operation.source?.host || "this process";
    const error = operationError("HOST_LOST", `host ${where} lost the operation: ${reason}`);
    await this.#operation.change((current) =>
      current.status === OperationStatus.PENDING || current.status === OperationStatus.RUNNING
        ? { info: endedSnapshot(current, { status: "failed", error }, retentionMs, now()), cutOff: mayComeBack }
        : undefined,
    );
  }
}
