/**
 * Reads by key, shared by those who ask for the same key at a moment. Who needs what is true after the question waits for
 * the read that is `underWay` before calling `read`: what is under way by then has begun later.
 */
export class SharedReads<T> {
  readonly #load: (key: string) => Promise<T>;
  readonly #underWay = new Map<string, Promise<T>>();

  constructor(load: (key: string) => Promise<T>) {
    this.#load = load;
  }

  /** The read that has begun and not ended. */
  underWay(key: string): Promise<T> | undefined {
    return this.#underWay.get(key);
  }

  /** What the read finds that is under way, or a new one. */
  read(key: string): Promise<T> {
    const shared = this.#underWay.get(key);
    if (shared) {
      return shared;
    }
    const read = this.#load(key).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, read);
    return read;
  }
}
