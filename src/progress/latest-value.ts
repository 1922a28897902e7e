/**
 * Passes the newest value from one thread to one other through three slots: the writer owns one, the reader owns one,
 * and the third lies between them. Publishing and taking each exchange the own slot for the one between, in one
 * atomic step, so that no slot is ever seen by both: no value is torn, neither side waits or retries, and values that
 * were not taken in time are replaced by newer ones.
 *
 * The control word holds the index of the slot between, and whether it is newer than the reader's. At first it must be
 * 0; the writer begins with slot 1 and the reader with slot 2.
 */

const indexMask = 3;
const isNew = 4;

/** The writing end. There is only one. */
export class LatestValueWriter {
  readonly #control: Int32Array;
  readonly #word: number;
  #own = 1;

  constructor(control: Int32Array, word: number) {
    this.#control = control;
    this.#word = word;
  }

  /** The slot to write. What it holds is what this end wrote there last. */
  get slot(): number {
    return this.#own;
  }

  /** Hands the slot over. `slot` is another one from here on. */
  publish(): void {
    this.#own = Atomics.exchange(this.#control, this.#word, this.#own | isNew) & indexMask;
  }
}

/** The reading end. There is only one. */
export class LatestValueReader {
  readonly #control: Int32Array;
  readonly #word: number;
  #own = 2;

  constructor(control: Int32Array, word: number) {
    this.#control = control;
    this.#word = word;
  }

  /** The slot with the newest value, which stays as it is until the next call; undefined when there is none newer. */
  take(): number | undefined {
    if ((Atomics.load(this.#control, this.#word) & isNew) === 0) return undefined;
    this.#own = Atomics.exchange(this.#control, this.#word, this.#own) & indexMask;
    return this.#own;
  }
}
