import { maxWarningBytes, warningCellBytes, warningCells } from "./shared-memory-layout.ts";
import { readText, writeText } from "./shared-text.ts";

/**
 * One warning slot in shared memory: the newest warnings, each in the cell of its number. Each thread has an object of
 * its own for it, and uses it while it owns the slot.
 *
 * I1. The first word is the number of warnings so far; the newest `warningCells` of them lie in the slot.
 * I2. A warning's number never changes, so what lies in a slot already is neither written nor read again.
 */
export class WarningSlot {
  readonly #count: Int32Array;
  readonly #cells: readonly WarningCell[];

  constructor(slot: Uint8Array) {
    this.#count = new Int32Array(slot.buffer, slot.byteOffset, 1);
    this.#cells = Array.from({ length: warningCells }, (_, index) => {
      const offset = slot.byteOffset + 8 + index * warningCellBytes;
      return {
        bytes: new Int32Array(slot.buffer, offset, 1),
        text: new Uint8Array(slot.buffer, offset + 4, maxWarningBytes),
      };
    });
  }

  /** Brings the slot up to date: `newest` are the last ones of `count`, at most `warningCells`. */
  write(newest: readonly string[], count: number): void {
    const firstNumber = count - newest.length;
    for (let number = Math.max(this.#written(), firstNumber); number < count; number++) {
      const cell = this.#cells[number % warningCells];
      if (cell !== undefined) cell.bytes[0] = writeText(newest[number - firstNumber] ?? "", cell.text);
    }
    this.#count[0] = count;
  }

  /** The warnings after the first `known`, oldest first, as far as they still lie here; and how many there were. */
  read(known: number): { warnings: string[]; count: number } {
    const count = this.#written();
    const warnings: string[] = [];
    for (let number = Math.max(known, count - warningCells); number < count; number++) {
      const cell = this.#cells[number % warningCells];
      if (cell !== undefined) warnings.push(readText(cell.text, cell.bytes[0] ?? 0));
    }
    return { warnings, count };
  }

  #written(): number {
    return this.#count[0] ?? 0;
  }
}

interface WarningCell {
  readonly bytes: Int32Array;
  readonly text: Uint8Array;
}
