import { encodeMetric, encodeMetricInto, maxFlatMetricBytes } from "./metric-codec.ts";
import type { MetricKind, MetricValues } from "./metric-record.ts";
import { recordBytes, recordHeaderBytes, skipMark, writeRecordHeader } from "./ring-record.ts";
import { controlWord, controlWords, ringArea, type SharedBridgeMemory } from "./shared-memory-layout.ts";

/**
 * The writing end of the ring of metric records. There is only one.
 *
 * I1. Head and tail count the bytes ever written and freed, modulo 2^32; the ring's size is a power of two, so they
 *     stay right when they wrap, and head − tail is what is in use.
 * I2. What lies between tail and head is the reader's. The writer publishes by moving the head, after the bytes are
 *     written; the reader frees by moving the tail, after it has copied them.
 * I3. A record is at most half the ring: then an empty ring always has room for it in one piece.
 * I4. A writer that waits reads the wake count before it looks at the tail, so a release or close in between is not
 *     slept over.
 * I5. Whoever finds the ring at most half full is told when it fills up further: the writer looks at the tail after it
 *     has moved the head.
 */
export class MetricsRingWriter {
  readonly #control: Int32Array;
  readonly #ring: Uint8Array;
  readonly #view: DataView;
  readonly #mask: number;
  readonly #half: number;
  #head = 0;
  #count = 0;

  constructor(memory: SharedBridgeMemory) {
    this.#control = controlWords(memory);
    this.#ring = ringArea(memory);
    this.#view = new DataView(this.#ring.buffer, this.#ring.byteOffset, this.#ring.byteLength);
    this.#mask = memory.ringBytes - 1;
    this.#half = memory.ringBytes / 2;
  }

  /**
   * Appends a record and returns how many there are now. Waits while the ring is full.
   * Throws a RangeError when the record can never fit, and an Error when the bridge is closed.
   */
  append<K extends MetricKind>(kind: K, value: MetricValues[K], recordedAtMs: number): number {
    const offset = this.#reserve(recordBytes(maxFlatMetricBytes));
    const end = encodeMetricInto(kind, value, this.#view, offset + recordHeaderBytes);
    if (end >= 0) return this.#publish(kind, offset, end - offset - recordHeaderBytes, recordedAtMs);
    const payload = encodeMetric(kind, value);
    if (recordBytes(payload.length) > this.#half) {
      throw new RangeError(
        `a "${kind}" record of ${payload.length} bytes does not fit: a ring of ${this.#ring.length} bytes takes records ` +
          `of up to ${this.#half - recordHeaderBytes} bytes`,
      );
    }
    const exactOffset = this.#reserve(recordBytes(payload.length));
    this.#ring.set(payload, exactOffset + recordHeaderBytes);
    return this.#publish(kind, exactOffset, payload.length, recordedAtMs);
  }

  /** Finds room for `bytes` in one piece and returns where; waits until there is. Nothing is published yet. */
  #reserve(bytes: number): number {
    const offset = this.#head & this.#mask;
    const skipped = offset + bytes > this.#ring.length ? this.#ring.length - offset : 0;
    if (Atomics.load(this.#control, controlWord.closed) !== 0 || this.#used() + skipped + bytes > this.#ring.length) {
      this.#waitForRoom(skipped + bytes);
    }
    return skipped > 0 ? 0 : offset;
  }

  #waitForRoom(bytes: number): void {
    for (;;) {
      const wake = Atomics.load(this.#control, controlWord.ringWake);
      if (Atomics.load(this.#control, controlWord.closed) !== 0) {
        throw new Error("the progress bridge is closed; no more records are taken");
      }
      if (this.#used() + bytes <= this.#ring.length) break;
      Atomics.store(this.#control, controlWord.writerWaits, 1);
      this.#announceCrowd();
      Atomics.wait(this.#control, controlWord.ringWake, wake);
    }
    Atomics.store(this.#control, controlWord.writerWaits, 0);
  }

  #publish(kind: MetricKind, offset: number, payloadBytes: number, recordedAtMs: number): number {
    writeRecordHeader(this.#view, offset, kind, payloadBytes, recordedAtMs);
    const before = this.#head;
    const position = before & this.#mask;
    if (offset !== position) this.#view.setUint32(position, skipMark, true);
    const skipped = offset === position ? 0 : this.#ring.length - position;
    this.#head = (before + skipped + recordBytes(payloadBytes)) >>> 0;
    this.#count++;
    Atomics.store(this.#control, controlWord.ringHead, this.#head | 0);
    // After the head, so that every record that is counted can be read.
    Atomics.store(this.#control, controlWord.ringCount, this.#count | 0);
    const used = this.#used();
    if (used > this.#half && used - ((this.#head - before) >>> 0) <= this.#half) this.#announceCrowd();
    return this.#count;
  }

  #used(): number {
    return (this.#head - Atomics.load(this.#control, controlWord.ringTail)) >>> 0;
  }

  #announceCrowd(): void {
    Atomics.add(this.#control, controlWord.crowded, 1);
    Atomics.notify(this.#control, controlWord.crowded);
  }
}
