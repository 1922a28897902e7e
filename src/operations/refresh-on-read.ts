import { isTerminal } from "./life-cycle.ts";
import type { OperationSource, PullResult } from "./operation-source.ts";
import type { PulledOperation } from "./pulled-operation.ts";

/** What refreshing needs to know beside the operation. */
export interface RefreshOptions {
  /** How long one pull may take, in milliseconds. */
  readonly pullTimeoutMs: number;
  readonly now: () => number;
  /** Draws the conclusions from a pull, once its records have been taken. */
  readonly settle: (result: PullResult) => Promise<void>;
}

interface Flight {
  readonly metrics: boolean;
  readonly done: Promise<void>;
}

/**
 * Refreshes one operation from its source when somebody asks.
 *
 * I1 At most one pull is under way; everybody who asks meanwhile waits for the same one, and who allows no age at all
 *    for the one after it.
 * I2 A pull that failed is remembered like one that succeeded, so a dead source is asked once per TTL, too.
 * I3 The pull has a deadline of its own and no caller's signal, so no caller can fail another.
 */
export class RefreshOnRead {
  readonly #operation: PulledOperation;
  readonly #options: RefreshOptions;
  #flight: Flight | undefined;
  #pulledAtMs = Number.NEGATIVE_INFINITY;
  #metricsPulledAtMs = Number.NEGATIVE_INFINITY;

  constructor(operation: PulledOperation, options: RefreshOptions) {
    this.#operation = operation;
    this.#options = options;
  }

  /**
   * Resolves when the snapshot, and with `metrics` the log, is at most `maxStalenessMs` old or could not be made so; 0
   * takes only what a pull that began after this call has found.
   * Never rejects for a source's sake; rejects when the store cannot be written.
   */
  async refresh(maxStalenessMs: number, metrics: boolean): Promise<void> {
    // The first flight found here began before the question, the ones after it did not.
    let beganBefore = this.#flight !== undefined;
    while (this.#operation.source && !this.#operation.isOver) {
      if (this.isFresh(maxStalenessMs, metrics)) {
        return;
      }
      const flight = this.#flight;
      if (!flight) {
        await this.#begin(this.#operation.source, metrics, maxStalenessMs);
        return;
      }
      await flight.done;
      const counts = maxStalenessMs > 0 || !beganBefore;
      beganBefore = false;
      if (counts && (flight.metrics || !metrics)) {
        return;
      }
    }
  }

  /** Whether the snapshot, and with `metrics` the log, is at most `maxStalenessMs` old; never with 0. */
  isFresh(maxStalenessMs: number, metrics: boolean): boolean {
    const ageMs = this.#options.now() - (metrics ? this.#metricsPulledAtMs : this.#pulledAtMs);
    // An age below 0 only says that the clock was set back.
    return maxStalenessMs > 0 && ageMs >= 0 && ageMs <= maxStalenessMs;
  }

  /** Reads everything the source holds now, metrics included, with a pull that begins after this call. */
  async drain(): Promise<void> {
    while (this.#flight) {
      await this.#flight.done.catch(() => {});
    }
    if (this.#operation.source && !this.#operation.isOver) {
      await this.#begin(this.#operation.source, true, 0);
    }
  }

  #begin(source: OperationSource, metrics: boolean, maxStalenessMs: number): Promise<void> {
    const done = this.#pull(source, metrics, maxStalenessMs).finally(() => {
      this.#flight = undefined;
    });
    this.#flight = { metrics, done };
    return done;
  }

  async #pull(source: OperationSource, metrics: boolean, maxStalenessMs: number): Promise<void> {
    const operation = this.#operation;
    let result = await this.#ask(source, metrics, maxStalenessMs);
    // I2: the age counts from the answer, or a slow source would be asked without a pause.
    this.#pulledAtMs = this.#options.now();
    while (result.outcome === "observed") {
      await operation.append(result.records);
      const ended = isTerminal(result.info.status);
      if (!result.hasMore || !(metrics || ended) || operation.isOver) {
        break;
      }
      if (result.records.length === 0) {
        result = { outcome: "unreachable", reason: "the source promises metric records and sends none" };
        break;
      }
      result = await this.#ask(source, true, maxStalenessMs);
    }
    if (metrics) {
      this.#metricsPulledAtMs = this.#options.now();
    }
    await this.#options.settle(result);
  }

  /** One pull under the deadline. */
  async #ask(source: OperationSource, metrics: boolean, maxStalenessMs: number): Promise<PullResult> {
    const signal = AbortSignal.timeout(this.#options.pullTimeoutMs);
    try {
      return await source.pull({ cursor: this.#operation.cursor, metrics, maxStalenessMs, signal });
    } catch (error) {
      if (signal.aborted) {
        const where = source.host === "" ? "" : `host ${source.host}: `;
        return { outcome: "unreachable", reason: `${where}no answer within ${this.#options.pullTimeoutMs} ms` };
      }
      throw error;
    }
  }
}
