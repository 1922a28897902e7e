import { CrowdWatch } from "./crowd-watch.ts";
import { LatestValueReader } from "./latest-value.ts";
import type { MetricRecord } from "./metric-record.ts";
import { MetricsRingReader } from "./metrics-ring-reader.ts";
import type { ProgressReader, ProgressReading } from "./progress-reader.ts";
import { ProgressSlot, type TimedProgress } from "./progress-slot.ts";
import {
  allocateBridgeMemory,
  controlWord,
  controlWords,
  progressSlots,
  reasonArea,
  type SharedBridgeMemory,
  warningCells,
  warningSlots,
} from "./shared-memory-layout.ts";
import { writeText } from "./shared-text.ts";
import { WarningSlot } from "./warning-slot.ts";

/** What a shared bridge is for. */
export interface SharedProgressBridgeOptions {
  /** Decides which family of metrics the operation keeps. */
  readonly operationType: string;
  /** The run that writes, from 1. Default 1. */
  readonly attempt?: number;
  /** Sequence of the last record of earlier attempts. Default 0. */
  readonly cursor?: number;
  /** Room for unreleased metric records, in bytes, rounded up to a power of two. Default 1 MiB; 1 KiB to 1 GiB. */
  readonly ringBytes?: number;
}

/**
 * Holds the state of one operation whose work runs in a worker thread: the reading end. The memory is given to the
 * thread, which writes it with a SharedProgressWriter; no messages are exchanged and nothing is locked.
 *
 * I1. Progress and warnings come through LatestValue slots, so a reading is never torn and never older than one before.
 * I2. Metric records are never dropped: those not released stay in the ring, and a full ring makes the writer wait.
 * I3. At most one wait for the crowd word is pending, however many callers wait, and closing ends it.
 */
export class SharedProgressBridge implements ProgressReader {
  /** What the thread needs to write. */
  readonly memory: SharedBridgeMemory;
  readonly #control: Int32Array;
  readonly #ring: MetricsRingReader;
  readonly #latestProgress: LatestValueReader;
  readonly #progressSlots: readonly ProgressSlot[];
  readonly #latestWarnings: LatestValueReader;
  readonly #warningSlots: readonly WarningSlot[];
  readonly #crowd = new CrowdWatch();
  #watching = false;
  #newest: TimedProgress = { progress: {}, changedAtMs: 0 };
  #warnings: readonly string[] = [];
  #warningCount = 0;

  /** Throws a RangeError when ringBytes is out of range. */
  constructor({ operationType, attempt = 1, cursor = 0, ringBytes = 2 ** 20 }: SharedProgressBridgeOptions) {
    this.memory = allocateBridgeMemory({ operationType, attempt, cursor, ringBytes });
    this.#control = controlWords(this.memory);
    this.#ring = new MetricsRingReader(this.memory);
    this.#latestProgress = new LatestValueReader(this.#control, controlWord.progressSlot);
    this.#progressSlots = progressSlots(this.memory).map((slot) => new ProgressSlot(slot));
    this.#latestWarnings = new LatestValueReader(this.#control, controlWord.warningSlot);
    this.#warningSlots = warningSlots(this.memory).map((slot) => new WarningSlot(slot));
  }

  /** Readings taken while nothing was written share their progress and warnings; they must not be changed. */
  read(): ProgressReading {
    const progressSlot = this.#latestProgress.take();
    if (progressSlot !== undefined) this.#newest = this.#progressSlots[progressSlot]?.read() ?? this.#newest;
    const warningSlot = this.#latestWarnings.take();
    if (warningSlot !== undefined) this.#takeWarnings(warningSlot);
    return { ...this.#newest, warnings: this.#warnings, cursor: this.#ring.cursor };
  }

  recordsAfter(cursor: number, limit: number): MetricRecord[] {
    return this.#ring.recordsAfter(cursor, limit);
  }

  release(cursor: number): void {
    this.#ring.release(cursor);
  }

  /** Crowded means that the ring is more than half full or that the writer waits for room. Keeps no process alive. */
  whenCrowded(signal: AbortSignal): Promise<void> {
    const waiting = this.#crowd.wait(signal);
    if (!this.#watching) void this.#watchCrowd();
    return waiting;
  }

  /**
   * Sets the cancellation flag that the thread can see at once. The first reason wins; one longer than 4,096 bytes of
   * UTF-8 is cut at a code point.
   */
  cancel(reason: string): void {
    if (Atomics.load(this.#control, controlWord.cancelled) !== 0) return;
    this.#control[controlWord.reasonBytes] = writeText(reason, reasonArea(this.memory));
    Atomics.store(this.#control, controlWord.cancelled, 1);
    Atomics.notify(this.#control, controlWord.cancelled);
  }

  /**
   * Ends the writing of records: a writer that waits is woken, and record() throws. What was written can still be
   * read. Safe to repeat.
   */
  close(): void {
    Atomics.store(this.#control, controlWord.closed, 1);
    this.#ring.wakeWriter();
    Atomics.notify(this.#control, controlWord.cancelled);
    Atomics.add(this.#control, controlWord.crowded, 1);
    Atomics.notify(this.#control, controlWord.crowded);
  }

  #takeWarnings(slot: number): void {
    const newer = this.#warningSlots[slot]?.read(this.#warningCount);
    if (newer === undefined) return;
    this.#warnings = [...this.#warnings, ...newer.warnings].slice(-warningCells);
    this.#warningCount = newer.count;
  }

  async #watchCrowd(): Promise<void> {
    this.#watching = true;
    while (this.#crowd.size > 0) {
      // Before the look at the ring, so that a crowd that forms in between is not slept over.
      const seen = Atomics.load(this.#control, controlWord.crowded);
      if (this.#ring.isCrowded()) this.#crowd.announce();
      else if (Atomics.load(this.#control, controlWord.closed) !== 0) break;
      else await Atomics.waitAsync(this.#control, controlWord.crowded, seen).value;
    }
    this.#watching = false;
  }
}
