import { ROOT_CONTEXT } from "@opentelemetry/api";
import type { Logger } from "pino";
import { inSpan } from "../tracing/spans.ts";
import type { OwnOperation } from "./known-operation.ts";
import type { OperationRegistry } from "./operation-registry.ts";
import type { OperationStore } from "./operation-store.ts";
import type { OperationsOptions } from "./operations-options.ts";
import type { Standing } from "./standing.ts";

/** Operations refreshed at the same time; a host gets one batch of them. */
const refreshBatch = 256;
/** Operations removed in one transaction, so that no transaction holds the event loop for long. */
const expireBatch = 250;

const unsaved = "progress could not be saved";

/** What a sweep needs. */
export interface SweepParts {
  readonly registry: OperationRegistry;
  readonly store: OperationStore;
  readonly standing: Standing;
  readonly options: OperationsOptions;
  readonly log: Logger;
  /** Takes over what other servers have left behind. */
  readonly takeOver: () => Promise<void>;
}

/**
 * Looks after what nobody asks about, at a slow beat: refreshes it, saves its progress, takes over what has been left
 * behind, and removes what has been kept long enough.
 *
 * I1 One sweep runs at a time; a beat that comes meanwhile joins it.
 * I2 Of the servers that share a store, each looks after its own operations, and one removes those of all.
 */
export class Sweep {
  readonly #parts: SweepParts;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor(parts: SweepParts) {
    this.#parts = parts;
  }

  /** Begins the beat. Safe to repeat. */
  start(): void {
    this.#timer ??= setInterval(() => void this.run(), this.#parts.options.sweepIntervalMs).unref();
  }

  /** Ends the beat, lets a sweep that is under way end, and saves all progress if it can. Safe to repeat. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#running;
    await this.#logged(unsaved, () => this.#flush());
  }

  /** Sweeps once. Trouble is logged; the next sweep tries again. */
  run(): Promise<void> {
    this.#running ??= inSpan("longhaul sweep", {}, () => this.#sweep(), ROOT_CONTEXT).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #sweep(): Promise<void> {
    const { registry, standing, takeOver } = this.#parts;
    const operations = [...registry.own];
    for (let from = 0; from < operations.length; from += refreshBatch) {
      await this.#refresh(operations.slice(from, from + refreshBatch));
    }
    await this.#logged(unsaved, () => this.#flush());
    await this.#logged("what other servers have left could not be taken over", takeOver);
    if (standing.isFirst) {
      await this.#logged("expired operations could not be removed", () => this.#expire());
    }
  }

  async #refresh(operations: readonly OwnOperation[]): Promise<void> {
    if (!this.#parts.standing.isSure) {
      return;
    }
    const staleness = this.#parts.options.sweepIntervalMs / 2;
    const results = await Promise.allSettled(operations.map(({ refresh }) => refresh.refresh(staleness, true)));
    for (const result of results) {
      if (result.status === "rejected") {
        this.#parts.log.error({ err: result.reason }, "an operation could not be refreshed");
      }
    }
  }

  async #flush(): Promise<void> {
    const dirty = [...this.#parts.registry.own].filter(({ operation }) => operation.isDirty);
    for (let from = 0; from < dirty.length; from += refreshBatch) {
      await Promise.all(dirty.slice(from, from + refreshBatch).map(({ operation }) => operation.flush()));
    }
  }

  async #expire(): Promise<void> {
    const { store, registry, options } = this.#parts;
    for (;;) {
      const now = options.now();
      const expired = await store.expire(now, expireBatch, now + options.tombstoneRetentionMs);
      registry.forget(expired);
      if (expired.length < expireBatch) {
        return;
      }
    }
  }

  async #logged(message: string, step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.#parts.log.error({ err: error }, message);
    }
  }
}
