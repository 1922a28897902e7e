import type { Logger } from "pino";
import type { OperationRegistry, TrackedOperation } from "./operation-registry.ts";
import type { OperationStore } from "./operation-store.ts";
import type { OperationsOptions } from "./operations-options.ts";

/** Operations refreshed at the same time; a host gets one batch of them. */
const refreshBatch = 256;
/** Operations removed in one transaction, so that no transaction holds the event loop for long. */
const expireBatch = 250;

/**
 * Looks after what nobody asks about, at a slow beat: refreshes it, saves its progress, and removes what has been kept
 * long enough.
 *
 * I1 One sweep runs at a time; a beat that comes meanwhile joins it.
 */
export class Sweep {
  readonly #registry: OperationRegistry;
  readonly #store: OperationStore;
  readonly #options: OperationsOptions;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor(registry: OperationRegistry, store: OperationStore, options: OperationsOptions, log: Logger) {
    this.#registry = registry;
    this.#store = store;
    this.#options = options;
    this.#log = log;
  }

  /** Begins the beat. Safe to repeat. */
  start(): void {
    this.#timer ??= setInterval(() => void this.run(), this.#options.sweepIntervalMs).unref();
  }

  /** Ends the beat, lets a sweep that is under way end, and saves all progress. Safe to repeat. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#running;
    await this.#flush();
  }

  /** Sweeps once. Trouble is logged; the next sweep tries again. */
  run(): Promise<void> {
    this.#running ??= this.#sweep().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #sweep(): Promise<void> {
    try {
      const operations = [...this.#registry.tracked];
      for (let from = 0; from < operations.length; from += refreshBatch) {
        await this.#refresh(operations.slice(from, from + refreshBatch));
      }
      await this.#flush();
      await this.#expire();
    } catch (error) {
      this.#log.error({ err: error }, "a sweep failed");
    }
  }

  async #refresh(operations: readonly TrackedOperation[]): Promise<void> {
    const staleness = this.#options.sweepIntervalMs / 2;
    const results = await Promise.allSettled(operations.map(({ refresh }) => refresh.refresh(staleness, true)));
    for (const result of results) {
      if (result.status === "rejected") {
        this.#log.error({ err: result.reason }, "an operation could not be refreshed");
      }
    }
  }

  async #flush(): Promise<void> {
    for (const { operation } of this.#registry.tracked) {
      if (operation.isDirty) {
        await operation.flush();
      }
    }
  }

  async #expire(): Promise<void> {
    for (;;) {
      const now = this.#options.now();
      const expired = await this.#store.expire(now, expireBatch, now + this.#options.tombstoneRetentionMs);
      this.#registry.forget(expired);
      if (expired.length < expireBatch) {
        return;
      }
    }
  }
}
