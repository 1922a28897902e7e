/**
 * Where everything lies in the memory a bridge shares with a worker thread:
 *
 *     control words | cancellation reason | 3 progress slots | 3 warning slots | ring of metric records
 */

/** The memory of a shared bridge. Structured-cloneable: it goes into workerData as it is. */
export interface SharedBridgeMemory {
  readonly buffer: SharedArrayBuffer;
  /** Size of the ring at the end of the buffer, in bytes; a power of two. */
  readonly ringBytes: number;
  readonly operationType: string;
  /** The run that writes, from 1. */
  readonly attempt: number;
  /** Sequence of the last record of earlier attempts. */
  readonly cursor: number;
}

/**
 * Indexes of the control words: 32-bit integers that are only touched through Atomics. Those the two threads write
 * most lie in cache lines of their own.
 */
export const controlWord = {
  /** 1 once the bridge is closed. */
  closed: 0,
  /** 1 once the cancellation reason is written. Notified. */
  cancelled: 1,
  /** Length of the reason, in bytes. */
  reasonBytes: 2,
  /** 1 while a writer waits for room in the ring. */
  writerWaits: 3,
  /** Counts the times the ring became crowded. Notified. */
  crowded: 4,
  /** The progress slot between the threads, see LatestValueWriter. */
  progressSlot: 16,
  /** The warning slot between the threads. */
  warningSlot: 17,
  /** Bytes ever written to the ring, modulo 2^32. */
  ringHead: 18,
  /** Records ever written to the ring, modulo 2^32. */
  ringCount: 19,
  /** Bytes ever freed in the ring, modulo 2^32. */
  ringTail: 32,
  /** Counts releases and the close. Notified, for a writer that waits. */
  ringWake: 33,
} as const;

/** Slots of a value that passes between the threads: one is written, one is read, one lies between. */
export const slotCount = 3;
/** Longest cancellation reason, in bytes of UTF-8. */
export const maxReasonBytes = 4_096;
/** Longest current_step and current_item, in bytes of UTF-8. */
export const maxTextBytes = 1_024;
/** Longest phase path, in bytes of JSON. */
export const maxPhasePathBytes = 2_048;
/** Largest context, in bytes of JSON. */
export const maxContextBytes = 16_384;
/** Numbers of a progress slot: a 64-bit word each. */
export const progressNumberCount = 6;
/** Longest warning, in bytes of UTF-8. */
export const maxWarningBytes = 1_020;
/** Warnings in a slot. */
export const warningCells = 100;

const wordBytes = 4;
const controlBytes = 256;
/** Six numbers, then five 32-bit words: which numbers are set, and four lengths; padded to 8 bytes. */
export const progressHeaderBytes = progressNumberCount * 8 + 24;
const progressSlotBytes = progressHeaderBytes + 2 * maxTextBytes + maxPhasePathBytes + maxContextBytes;
/** A warning's length and its text. */
export const warningCellBytes = wordBytes + maxWarningBytes;
const warningSlotBytes = 8 + warningCells * warningCellBytes;

const reasonOffset = controlBytes;
const progressOffset = reasonOffset + maxReasonBytes;
const warningOffset = progressOffset + slotCount * progressSlotBytes;
const ringOffset = warningOffset + slotCount * warningSlotBytes;

const minRingBytes = 1_024;
const maxRingBytes = 2 ** 30;

/** What a bridge's memory is made for. */
export interface SharedMemoryOptions {
  readonly operationType: string;
  readonly attempt: number;
  readonly cursor: number;
  readonly ringBytes: number;
}

/** Allocates the memory. The ring is rounded up to a power of two; throws a RangeError outside 1 KiB to 1 GiB. */
export function allocateBridgeMemory(options: SharedMemoryOptions): SharedBridgeMemory {
  const { ringBytes } = options;
  if (!(ringBytes >= minRingBytes && ringBytes <= maxRingBytes)) {
    throw new RangeError(`ringBytes must be ${minRingBytes} to ${maxRingBytes}, not ${ringBytes}`);
  }
  const rounded = 2 ** Math.ceil(Math.log2(ringBytes));
  return { ...options, ringBytes: rounded, buffer: new SharedArrayBuffer(ringOffset + rounded) };
}

/** The control words. */
export function controlWords(memory: SharedBridgeMemory): Int32Array {
  return new Int32Array(memory.buffer, 0, controlBytes / wordBytes);
}

/** The bytes of the cancellation reason. */
export function reasonArea(memory: SharedBridgeMemory): Uint8Array {
  return new Uint8Array(memory.buffer, reasonOffset, maxReasonBytes);
}

/** The bytes of each progress slot. */
export function progressSlots(memory: SharedBridgeMemory): Uint8Array[] {
  return slots(memory, progressOffset, progressSlotBytes);
}

/** The bytes of each warning slot. */
export function warningSlots(memory: SharedBridgeMemory): Uint8Array[] {
  return slots(memory, warningOffset, warningSlotBytes);
}

/** The bytes of the ring. */
export function ringArea(memory: SharedBridgeMemory): Uint8Array {
  return new Uint8Array(memory.buffer, ringOffset, memory.ringBytes);
}

function slots(memory: SharedBridgeMemory, offset: number, slotBytes: number): Uint8Array[] {
  return Array.from({ length: slotCount }, (_, index) => {
    return new Uint8Array(memory.buffer, offset + index * slotBytes, slotBytes);
  });
}
