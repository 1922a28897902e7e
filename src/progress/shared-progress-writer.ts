import { LatestValueWriter } from "./latest-value.ts";
import type { MetricKind, MetricValues } from "./metric-record.ts";
import { familyWithRecord, type MetricsFamily } from "./metrics-family.ts";
import { MetricsRingWriter } from "./metrics-ring-writer.ts";
import { ProgressSlot } from "./progress-slot.ts";
import type { ProgressUpdate, ProgressWriter } from "./progress-update.ts";
import {
  controlWord,
  controlWords,
  maxContextBytes,
  progressSlots,
  reasonArea,
  type SharedBridgeMemory,
  warningCells,
  warningSlots,
} from "./shared-memory-layout.ts";
import { readText } from "./shared-text.ts";
import { WarningSlot } from "./warning-slot.ts";

/** What the writing end can be given. */
export interface SharedProgressWriterOptions {
  /** The clock, in milliseconds since the epoch. Default Date.now. */
  readonly now?: () => number;
}

/**
 * The writing end of a SharedProgressBridge: what the work in the worker thread holds. There is one per memory.
 *
 * Limits, in bytes of UTF-8: current_step and current_item 1,024 each, a warning 1,020, cut at a code point; the phase
 * path 2,048 as JSON, innermost names left out; the context 16,384 as JSON, left out as a whole with a warning, once.
 *
 * I1. What was written does not change when the caller reuses its object: it is encoded when it is written.
 * I2. Progress and warnings never wait for the reader; records wait when the ring is full. So the writer must not be
 *     used in the thread that reads.
 */
export class SharedProgressWriter implements ProgressWriter {
  readonly #memory: SharedBridgeMemory;
  readonly #control: Int32Array;
  readonly #now: () => number;
  readonly #ring: MetricsRingWriter;
  readonly #latestProgress: LatestValueWriter;
  readonly #progressSlots: readonly ProgressSlot[];
  readonly #latestWarnings: LatestValueWriter;
  readonly #warningSlots: readonly WarningSlot[];
  readonly #warnings: string[] = [];
  #warningCount = 0;
  #warnedOfContext = false;
  #family: MetricsFamily | undefined;
  #whenCancelled: Promise<string> | undefined;

  constructor(memory: SharedBridgeMemory, { now = Date.now }: SharedProgressWriterOptions = {}) {
    this.#memory = memory;
    this.#control = controlWords(memory);
    this.#now = now;
    this.#ring = new MetricsRingWriter(memory);
    this.#latestProgress = new LatestValueWriter(this.#control, controlWord.progressSlot);
    this.#progressSlots = progressSlots(memory).map((slot) => new ProgressSlot(slot));
    this.#latestWarnings = new LatestValueWriter(this.#control, controlWord.warningSlot);
    this.#warningSlots = warningSlots(memory).map((slot) => new WarningSlot(slot));
  }

  update(progress: ProgressUpdate): void {
    const whole = this.#progressSlots[this.#latestProgress.slot]?.write(progress, this.#now());
    this.#latestProgress.publish();
    if (whole === false && !this.#warnedOfContext) {
      this.#warnedOfContext = true;
      this.warn(`the progress context is left out: it is larger than ${maxContextBytes} bytes of JSON`);
    }
  }

  /**
   * Appends a metric record and returns its sequence. Waits while the ring is full, until the reader releases records.
   * Throws a TypeError for a record of another family, a RangeError for a record larger than half the ring, and an
   * Error when the bridge is closed, also to a writer that waits.
   */
  record<K extends MetricKind>(kind: K, value: MetricValues[K]): number {
    const family = familyWithRecord(this.#memory.operationType, this.#family, kind);
    const count = this.#ring.append(kind, value, this.#now());
    this.#family = family;
    return this.#memory.cursor + count;
  }

  warn(message: string): void {
    this.#warnings.push(message);
    if (this.#warnings.length > warningCells) this.#warnings.shift();
    this.#warningCount++;
    this.#warningSlots[this.#latestWarnings.slot]?.write(this.#warnings, this.#warningCount);
    this.#latestWarnings.publish();
  }

  /** Why the work should stop; undefined while it should not. Synchronous and cheap: meant for inner loops. */
  cancellationReason(): string | undefined {
    if (Atomics.load(this.#control, controlWord.cancelled) === 0) return undefined;
    return readText(reasonArea(this.#memory), this.#control[controlWord.reasonBytes] ?? 0);
  }

  /** Resolves with the reason when the work should stop; never, when the bridge is closed before. Keeps no thread alive. */
  whenCancelled(): Promise<string> {
    this.#whenCancelled ??= this.#waitForCancellation();
    return this.#whenCancelled;
  }

  async #waitForCancellation(): Promise<string> {
    await Atomics.waitAsync(this.#control, controlWord.cancelled, 0).value;
    const reason = this.cancellationReason();
    return reason ?? new Promise(() => {});
  }
}
