import type { MetricRecord } from "./metric-record.ts";
import { payloadLength, recordBytes, recordedAt, recordHeaderBytes, recordKind, skipMark } from "./ring-record.ts";
import { controlWord, controlWords, ringArea, type SharedBridgeMemory } from "./shared-memory-layout.ts";

/** A place between two records: how many bytes and which record lie before it. */
interface Mark {
  readonly position: number;
  readonly sequence: number;
}

/**
 * The reading end of the ring of metric records. There is only one.
 *
 * I1. Records stay in the ring until they are released, so that reading again from the same cursor gives the same.
 * I2. `#tail` and `#seen` lie on the boundary of a record, `#seen` never before `#tail`.
 * I3. The wake count moves after the tail, see MetricsRingWriter I4.
 */
export class MetricsRingReader {
  readonly #control: Int32Array;
  readonly #ring: Uint8Array;
  readonly #view: DataView;
  readonly #attempt: number;
  #tail: Mark;
  /** Where the last reading ended, so that the next one need not walk there again. */
  #seen: Mark;
  #cursor: number;
  #countAtCursor = 0;

  constructor(memory: SharedBridgeMemory) {
    this.#control = controlWords(memory);
    this.#ring = ringArea(memory);
    this.#view = new DataView(this.#ring.buffer, this.#ring.byteOffset, this.#ring.byteLength);
    this.#attempt = memory.attempt;
    this.#cursor = memory.cursor;
    this.#tail = { position: 0, sequence: memory.cursor };
    this.#seen = this.#tail;
  }

  /** Sequence of the newest record written. */
  get cursor(): number {
    const count = Atomics.load(this.#control, controlWord.ringCount) >>> 0;
    this.#cursor += (count - this.#countAtCursor) >>> 0;
    this.#countAtCursor = count;
    return this.#cursor;
  }

  /** The ring is more than half full, or a writer waits for room. */
  isCrowded(): boolean {
    const used = (this.#head() - this.#tail.position) >>> 0;
    return used > this.#ring.length / 2 || Atomics.load(this.#control, controlWord.writerWaits) !== 0;
  }

  /** Up to `limit` records after `cursor` that are not released, oldest first. */
  recordsAfter(cursor: number, limit: number): MetricRecord[] {
    const records: MetricRecord[] = [];
    const head = this.#head();
    let mark = this.#lastMarkUpTo(cursor);
    while (mark.position !== head && records.length < limit) {
      const offset = this.#recordOffset(mark);
      if (mark.sequence >= cursor) records.push(this.#copyRecord(offset, mark.sequence + 1));
      mark = this.#after(mark, offset);
    }
    if (mark.sequence > this.#seen.sequence) this.#seen = mark;
    return records;
  }

  /** Frees the records up to `cursor` and wakes a writer that waits. */
  release(cursor: number): void {
    const head = this.#head();
    let mark = this.#lastMarkUpTo(cursor);
    while (mark.position !== head && mark.sequence < cursor) mark = this.#after(mark, this.#recordOffset(mark));
    if (mark.sequence <= this.#tail.sequence) return;
    this.#tail = mark;
    if (this.#seen.sequence < mark.sequence) this.#seen = mark;
    Atomics.store(this.#control, controlWord.ringTail, mark.position | 0);
    Atomics.store(this.#control, controlWord.writerWaits, 0);
    this.wakeWriter();
  }

  /** Makes a writer that waits look again. */
  wakeWriter(): void {
    Atomics.add(this.#control, controlWord.ringWake, 1);
    Atomics.notify(this.#control, controlWord.ringWake);
  }

  #head(): number {
    return Atomics.load(this.#control, controlWord.ringHead) >>> 0;
  }

  #lastMarkUpTo(cursor: number): Mark {
    return cursor >= this.#seen.sequence ? this.#seen : this.#tail;
  }

  #recordOffset(mark: Mark): number {
    const offset = mark.position & (this.#ring.length - 1);
    return payloadLength(this.#view, offset) === skipMark ? 0 : offset;
  }

  #after({ position, sequence }: Mark, offset: number): Mark {
    const from = position & (this.#ring.length - 1);
    const skipped = offset === from ? 0 : this.#ring.length - from;
    const bytes = recordBytes(payloadLength(this.#view, offset));
    return { position: (position + skipped + bytes) >>> 0, sequence: sequence + 1 };
  }

  #copyRecord(offset: number, sequence: number): MetricRecord {
    const start = offset + recordHeaderBytes;
    return {
      sequence,
      attempt: this.#attempt,
      recordedAtMs: recordedAt(this.#view, offset),
      kind: recordKind(this.#view, offset),
      payload: this.#ring.slice(start, start + payloadLength(this.#view, offset)),
    };
  }
}
