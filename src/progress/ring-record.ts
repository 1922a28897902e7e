import type { MetricKind } from "./metric-record.ts";

/**
 * How a metric record lies in the ring: a header of 16 bytes, the payload, and padding to the next multiple of 8. A
 * record lies in one piece; where it would not fit before the end of the ring, a skip mark says that it begins at the
 * start.
 */

/** Bytes before the payload: its length, its kind, and when it was recorded. */
export const recordHeaderBytes = 16;
/** In place of the length: the next record begins at the start of the ring. */
export const skipMark = 0xffff_ffff;

const kinds: readonly MetricKind[] = ["epoch", "segment", "bar", "trade", "custom"];
const kindNumbers = new Map(kinds.map((kind, index) => [kind, index]));

/** Bytes a record takes in the ring. */
export function recordBytes(payloadBytes: number): number {
  return (recordHeaderBytes + payloadBytes + 7) & ~7;
}

/** Writes the header of the record at `offset`. */
export function writeRecordHeader(
  ring: DataView,
  offset: number,
  kind: MetricKind,
  payloadBytes: number,
  recordedAtMs: number,
): void {
  ring.setUint32(offset, payloadBytes, true);
  ring.setUint32(offset + 4, kindNumbers.get(kind) ?? 0, true);
  ring.setFloat64(offset + 8, recordedAtMs, true);
}

/** The kind of the record at `offset`. */
export function recordKind(ring: DataView, offset: number): MetricKind {
  return kinds[ring.getUint32(offset + 4, true)] ?? "custom";
}

/** Length of the payload at `offset`, or the skip mark. */
export function payloadLength(ring: DataView, offset: number): number {
  return ring.getUint32(offset, true);
}

/** When the record at `offset` was recorded, in milliseconds since the epoch. */
export function recordedAt(ring: DataView, offset: number): number {
  return ring.getFloat64(offset + 8, true);
}
