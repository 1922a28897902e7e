import { type Link, type Span, trace } from "@opentelemetry/api";
import { inSpan, maximumLinks } from "../tracing/spans.ts";
import { isTerminal } from "./life-cycle.ts";
import { movingMean } from "./moving-mean.ts";
import type { OperationSource, PullRequest, PullResult } from "./operation-source.ts";
import { noOperationsMeter, type OperationsMeter } from "./operations-meter.ts";
import type { PulledOperation } from "./pulled-operation.ts";

/** What draws the conclusions from a pull, once its records have been taken. */
export interface Settlement {
  settle(result: PullResult): Promise<void>;
}

/** What refreshing needs to know beside the operation; the same for many. */
export interface RefreshOptions {
  /** How long one pull may take, in milliseconds. */
  readonly pullTimeoutMs: number;
  readonly now: () => number;
  /** Default: counts nothing. */
  readonly meter?: OperationsMeter;
  /** What the meter is to call the source. Default: its URL. */
  readonly sourceName?: string;
}

interface Flight {
  readonly metrics: boolean;
  readonly done: Promise<void>;
  readonly span: Span;
  joined: number;
}

/**
 * Refreshes one operation from its source when somebody asks.
 *
 * I1 At most one pull is under way; everybody who asks meanwhile waits for the same one, and who allows no age at all
 *    for the one after it.
 * I2 A pull that failed is remembered like one that succeeded, so a dead source is asked once per TTL, too.
 * I3 The pull has a deadline of its own and no caller's signal, so no caller can fail another.
 * I4 In traces, the pull belongs to the call that began it; it and the calls that join are linked to each other.
 */
export class RefreshOnRead {
  readonly #operation: PulledOperation;
  readonly #settlement: Settlement;
  readonly #options: RefreshOptions;
  #flight: Flight | undefined;
  #pulledAtMs = Number.NEGATIVE_INFINITY;
  #metricsPulledAtMs = Number.NEGATIVE_INFINITY;
  #costMs = 0;

  constructor(operation: PulledOperation, settlement: Settlement, options: RefreshOptions) {
    this.#operation = operation;
    this.#settlement = settlement;
    this.#options = options;
  }

  /** How long recent pulls have taken, in milliseconds: a mean in which newer ones weigh more. 0 before the first. */
  get costMs(): number {
    return this.#costMs;
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
      this.#join(flight);
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
    const attributes = { "longhaul.operation_id": this.#operation.info.operationId };
    return inSpan("longhaul pull", { attributes }, (span) => {
      const done = this.#pull(source, metrics, maxStalenessMs, span).finally(() => {
        this.#flight = undefined;
      });
      this.#flight = { metrics, done, span, joined: 0 };
      return done;
    });
  }

  #join(flight: Flight): void {
    this.#meter.readCoalesced();
    const caller = trace.getActiveSpan();
    if (caller?.isRecording() && flight.joined < maximumLinks) {
      flight.joined += 1;
      flight.span.addLink(linkTo(caller));
      caller.addLink(linkTo(flight.span));
    }
  }

  async #pull(source: OperationSource, metrics: boolean, maxStalenessMs: number, span: Span): Promise<void> {
    const operation = this.#operation;
    const startedMs = performance.now();
    let result = await this.#ask(source, metrics, maxStalenessMs);
    // I2: the age counts from the answer, or a slow source would be asked without a pause.
    this.#pulledAtMs = this.#options.now();
    while (result.outcome === "observed") {
      await operation.append(result.records);
      const ended = isTerminal(result.info.status);
      if (!result.hasMore || !(metrics || ended) || operation.isOver || operation.dropsRecords) {
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
    const tookMs = performance.now() - startedMs;
    this.#costMs = movingMean(this.#costMs, tookMs);
    this.#meter.pulled(this.#options.sourceName ?? source.host, result.outcome, tookMs / 1_000);
    span.setAttribute("longhaul.outcome", result.outcome);
    await this.#settlement.settle(result);
  }

  get #meter(): OperationsMeter {
    return this.#options.meter ?? noOperationsMeter;
  }

  /** One pull under the deadline. */
  async #ask(source: OperationSource, metrics: boolean, maxStalenessMs: number): Promise<PullResult> {
    const { pullTimeoutMs } = this.#options;
    const { cursor, dropsRecords } = this.#operation;
    const startedMs = performance.now();
    let deadline: AbortController | undefined;
    let timer: NodeJS.Timeout | undefined;
    const request: PullRequest = {
      cursor,
      metrics,
      dropsRecords,
      maxStalenessMs,
      // Made for sources that look at it: a timer costs more than a pull from this process.
      get signal() {
        if (!deadline) {
          const controller = new AbortController();
          const leftMs = startedMs + pullTimeoutMs - performance.now();
          timer = setTimeout(() => controller.abort(), Math.max(0, leftMs));
          deadline = controller;
        }
        return deadline.signal;
      },
    };
    try {
      return await source.pull(request);
    } catch (error) {
      if (deadline?.signal.aborted) {
        const where = source.host === "" ? "" : `host ${source.host}: `;
        return { outcome: "unreachable", reason: `${where}no answer within ${pullTimeoutMs} ms` };
      }
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }
}

function linkTo(span: Span): Link {
  return { context: span.spanContext() };
}
