import type { MetricRecord } from "./metric-record.ts";
import type { ProgressUpdate } from "./progress-update.ts";

/** A copy of what a bridge holds, taken at one instant. */
export interface ProgressReading {
  /** The newest report. Empty before the first. */
  readonly progress: ProgressUpdate;
  /** When it was written, in milliseconds since the epoch; 0 before the first report. */
  readonly changedAtMs: number;
  /** Warnings so far, oldest first, at most the newest 100. */
  readonly warnings: readonly string[];
  /** Sequence of the newest metric record written. */
  readonly cursor: number;
}

/** The reading end of a bridge: what the registry holds. */
export interface ProgressReader {
  /** Takes a copy of the state. Never torn, and never older than a copy taken before. */
  read(): ProgressReading;
  /** Up to `limit` records with a sequence greater than `cursor`, oldest first. */
  recordsAfter(cursor: number, limit: number): MetricRecord[];
  /** Says that records up to `cursor` are stored elsewhere, so that the bridge may forget them. */
  release(cursor: number): void;
  /**
   * Resolves when the bridge holds so many records that it wants them read and released before long;
   * never resolves when it has no bound. Rejects with the signal's reason when that aborts.
   */
  whenCrowded(signal: AbortSignal): Promise<void>;
}
