import type { JsonObject } from "@bufbuild/protobuf";
import type { ProgressUpdate } from "./progress-update.ts";
import {
  maxContextBytes,
  maxPhasePathBytes,
  maxTextBytes,
  progressHeaderBytes,
  progressNumberCount,
} from "./shared-memory-layout.ts";
import { readText, writeText, writeWholeText } from "./shared-text.ts";

/** Progress with the time it was written, in milliseconds since the epoch. */
export interface TimedProgress {
  readonly progress: ProgressUpdate;
  readonly changedAtMs: number;
}

const percentageBit = 1;
const stepsCompletedBit = 2;
const stepsTotalBit = 4;
const itemsProcessedBit = 8;
const itemsTotalBit = 16;

/** What a slot's text area holds nothing of. */
const unset = 0;

/**
 * One progress slot in shared memory. Each thread has an object of its own for it, and uses it while it owns the slot.
 *
 * I1. What the writing side remembers of a text lies in this slot, because nobody else writes there; a text that is
 *     the same again is not encoded again.
 * I2. The word of a text is its length in bytes plus 1, or 0 when the text is unset.
 * I3. The first word tells which numbers are set.
 */
export class ProgressSlot {
  readonly #numbers: Float64Array;
  readonly #words: Int32Array;
  readonly #currentStep: Uint8Array;
  readonly #currentItem: Uint8Array;
  readonly #phasePath: Uint8Array;
  readonly #context: Uint8Array;
  #writtenStep: string | undefined;
  #writtenItem: string | undefined;
  #writtenPath: readonly string[] | undefined;
  #writtenContext: string | undefined;

  constructor(slot: Uint8Array) {
    this.#numbers = new Float64Array(slot.buffer, slot.byteOffset, progressNumberCount);
    this.#words = new Int32Array(slot.buffer, slot.byteOffset + progressNumberCount * 8, 5);
    let end = progressHeaderBytes;
    const area = (bytes: number): Uint8Array => {
      end += bytes;
      return slot.subarray(end - bytes, end);
    };
    this.#currentStep = area(maxTextBytes);
    this.#currentItem = area(maxTextBytes);
    this.#phasePath = area(maxPhasePathBytes);
    this.#context = area(maxContextBytes);
  }

  /**
   * Writes the progress. Texts too long are cut, a phase path too long loses its innermost names. Answers false when
   * the context was left out because it is too large.
   */
  write(progress: ProgressUpdate, changedAtMs: number): boolean {
    const numbers = this.#numbers;
    const words = this.#words;
    let mask = 0;
    if (progress.percentage !== undefined) {
      numbers[0] = progress.percentage;
      mask |= percentageBit;
    }
    if (progress.stepsCompleted !== undefined) {
      numbers[1] = progress.stepsCompleted;
      mask |= stepsCompletedBit;
    }
    if (progress.stepsTotal !== undefined) {
      numbers[2] = progress.stepsTotal;
      mask |= stepsTotalBit;
    }
    if (progress.itemsProcessed !== undefined) {
      numbers[3] = progress.itemsProcessed;
      mask |= itemsProcessedBit;
    }
    if (progress.itemsTotal !== undefined) {
      numbers[4] = progress.itemsTotal;
      mask |= itemsTotalBit;
    }
    numbers[5] = changedAtMs;
    words[0] = mask;
    if (progress.currentStep !== this.#writtenStep) {
      this.#writtenStep = progress.currentStep;
      words[1] = progress.currentStep === undefined ? unset : writeText(progress.currentStep, this.#currentStep) + 1;
    }
    if (progress.currentItem !== this.#writtenItem) {
      this.#writtenItem = progress.currentItem;
      words[2] = progress.currentItem === undefined ? unset : writeText(progress.currentItem, this.#currentItem) + 1;
    }
    if (!sameNames(progress.phasePath, this.#writtenPath)) {
      this.#writtenPath = progress.phasePath && [...progress.phasePath];
      words[3] = this.#writtenPath === undefined ? unset : writePath(this.#writtenPath, this.#phasePath) + 1;
    }
    return this.#writeContext(progress.context);
  }

  /** Reads what was written last. */
  read(): TimedProgress {
    const [percentage = 0, stepsCompleted = 0, stepsTotal = 0, itemsProcessed = 0, itemsTotal = 0, changedAtMs = 0] =
      this.#numbers;
    const [mask = 0, step = unset, item = unset, path = unset, context = unset] = this.#words;
    const progress: ProgressUpdate = {
      ...((mask & percentageBit) !== 0 && { percentage }),
      ...((mask & stepsCompletedBit) !== 0 && { stepsCompleted }),
      ...((mask & stepsTotalBit) !== 0 && { stepsTotal }),
      ...((mask & itemsProcessedBit) !== 0 && { itemsProcessed }),
      ...((mask & itemsTotalBit) !== 0 && { itemsTotal }),
      ...(step !== unset && { currentStep: readText(this.#currentStep, step - 1) }),
      ...(item !== unset && { currentItem: readText(this.#currentItem, item - 1) }),
      ...(path !== unset && { phasePath: JSON.parse(readText(this.#phasePath, path - 1)) as string[] }),
      ...(context !== unset && { context: JSON.parse(readText(this.#context, context - 1)) as JsonObject }),
    };
    return { progress, changedAtMs };
  }

  #writeContext(context: JsonObject | undefined): boolean {
    const text = context && JSON.stringify(context);
    if (text !== this.#writtenContext) {
      this.#writtenContext = text;
      this.#words[4] = text === undefined ? unset : writeWholeText(text, this.#context) + 1;
    }
    return text === undefined || this.#words[4] !== unset;
  }
}

function sameNames(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((name, index) => name === b[index]);
}

function writePath(path: readonly string[], area: Uint8Array): number {
  for (let length = path.length; ; length--) {
    const bytes = writeWholeText(JSON.stringify(path.slice(0, length)), area);
    if (bytes >= 0) return bytes;
  }
}
