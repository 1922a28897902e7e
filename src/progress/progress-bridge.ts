import { CrowdWatch } from "./crowd-watch.ts";
import { encodeMetric } from "./metric-codec.ts";
import type { MetricKind, MetricRecord, MetricValues } from "./metric-record.ts";
import { familyWithRecord, type MetricsFamily } from "./metrics-family.ts";
import { copyProgress } from "./progress-copy.ts";
import type { ProgressReader, ProgressReading } from "./progress-reader.ts";
import type { ProgressUpdate, ProgressWriter } from "./progress-update.ts";

/** What a bridge is for. */
export interface ProgressBridgeOptions {
  /** Decides which family of metrics the operation keeps. */
  readonly operationType: string;
  /** The run that writes, from 1. Default 1. */
  readonly attempt?: number;
  /** Sequence of the last record of earlier attempts. Default 0. */
  readonly cursor?: number;
  /** Unreleased records above which the bridge is crowded. Default 10,000. */
  readonly crowdedAt?: number;
  /** The clock, in milliseconds since the epoch. Default Date.now. */
  readonly now?: () => number;
}

/** Warnings a bridge keeps, the newest. */
export const keptWarnings = 100;

const nothingReported: ProgressUpdate = Object.freeze({});

/**
 * Holds the state of one operation of this thread, between the work that writes and the registry that reads.
 *
 * I1. What was written does not change when the caller reuses its object: progress is copied, and a record is encoded
 *     when it is written, so that a value that does not fit its field fails there and not at the reader.
 * I2. Records are numbered without gaps, beginning after `cursor`; `#records` holds those after `#released`.
 * I3. A record is kept until it is released; the bridge has no bound and only tells when it is crowded.
 */
export class ProgressBridge implements ProgressWriter, ProgressReader {
  readonly #operationType: string;
  readonly #attempt: number;
  readonly #crowdedAt: number;
  readonly #now: () => number;
  /** Unset until somebody waits. */
  #crowd: CrowdWatch | undefined;
  readonly #records: MetricRecord[] = [];
  readonly #warnings: string[] = [];
  #progress = nothingReported;
  #changedAtMs = 0;
  #cursor: number;
  #released: number;
  #family: MetricsFamily | undefined;

  constructor(options: ProgressBridgeOptions) {
    this.#operationType = options.operationType;
    this.#attempt = options.attempt ?? 1;
    this.#crowdedAt = options.crowdedAt ?? 10_000;
    this.#now = options.now ?? Date.now;
    this.#cursor = options.cursor ?? 0;
    this.#released = this.#cursor;
  }

  update(progress: ProgressUpdate): void {
    this.#progress = copyProgress(progress);
    this.#changedAtMs = this.#now();
  }

  record<K extends MetricKind>(kind: K, value: MetricValues[K]): number {
    const family = familyWithRecord(this.#operationType, this.#family, kind);
    const payload = encodeMetric(kind, value);
    this.#family = family;
    const sequence = this.#cursor + 1;
    this.#records.push({ sequence, attempt: this.#attempt, recordedAtMs: this.#now(), kind, payload });
    this.#cursor = sequence;
    if (this.#crowd && this.#crowd.size > 0 && this.#isCrowded()) this.#crowd.announce();
    return sequence;
  }

  warn(message: string): void {
    this.#warnings.push(message);
    if (this.#warnings.length > keptWarnings) this.#warnings.shift();
  }

  read(): ProgressReading {
    return {
      progress: copyProgress(this.#progress),
      changedAtMs: this.#changedAtMs,
      warnings: [...this.#warnings],
      cursor: this.#cursor,
    };
  }

  recordsAfter(cursor: number, limit: number): MetricRecord[] {
    const first = Math.max(cursor - this.#released, 0);
    return this.#records.slice(first, first + limit);
  }

  release(cursor: number): void {
    if (cursor <= this.#released) return;
    this.#released = Math.min(cursor, this.#cursor);
    this.#records.splice(0, cursor - (this.#records[0]?.sequence ?? cursor) + 1);
  }

  whenCrowded(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#isCrowded()) return Promise.resolve();
    this.#crowd ??= new CrowdWatch();
    return this.#crowd.wait(signal);
  }

  #isCrowded(): boolean {
    return this.#records.length > this.#crowdedAt;
  }
}
