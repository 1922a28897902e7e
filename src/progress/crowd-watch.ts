/** Callers that wait until a bridge is crowded, each with its own signal. */
export class CrowdWatch {
  readonly #wake = new Set<() => void>();

  /** How many wait. */
  get size(): number {
    return this.#wake.size;
  }

  /** Resolves at the next `announce`; rejects with the signal's reason when that aborts first. Leaves nothing behind. */
  wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#wake.delete(wake);
        reject(signal.reason);
      };
      const wake = (): void => {
        signal.removeEventListener("abort", abort);
        resolve();
      };
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      signal.addEventListener("abort", abort, { once: true });
      this.#wake.add(wake);
    });
  }

  /** Wakes everyone who waits now. */
  announce(): void {
    for (const wake of this.#wake) wake();
    this.#wake.clear();
  }
}
