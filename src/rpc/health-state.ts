/**
 * Whether this server should get calls, for those who ask: probes, balancers and clients.
 *
 * It should when its store can be used and it is not about to stop; the latter wins, whatever becomes of the store.
 */
export class HealthState {
  readonly #listeners = new Set<() => void>();
  #storeWorks = true;
  #isLeaving = false;

  /** Whether this server should get calls now. */
  get isServing(): boolean {
    return this.#storeWorks && !this.#isLeaving;
  }

  /** Says whether the store can be used. */
  setStoreWorks(works: boolean): void {
    this.#storeWorks = works;
    this.#tell();
  }

  /** Says that this server is going to stop: from now on it should get no more calls. */
  leave(): void {
    this.#isLeaving = true;
    this.#tell();
  }

  /** Calls the listener whenever something may have changed, until the answer is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) {
      listener();
    }
  }
}
