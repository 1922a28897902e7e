import { ROOT_CONTEXT } from "@opentelemetry/api";
import type { Logger } from "pino";
import { inSpan } from "../tracing/spans.ts";
import type { OwnOperation } from "./known-operation.ts";
import type { OperationRegistry } from "./operation-registry.ts";
import type { OperationStore } from "./operation-store.ts";
import type { OperationsOptions } from "./operations-options.ts";
import { pause } from "./pause.ts";
import type { Standing } from "./standing.ts";

/** Operations refreshed and saved at the same time, so that they hold up nothing else; a host gets one batch of them. */
const batch = 64;
/** Operations removed in one transaction, for the same reason. */
const expireBatch = 64;
/** The longest pause between two batches, in milliseconds. */
const longestPauseMs = 20;
/** The pause between two removals, in milliseconds. */
const expirePauseMs = 5;
/** Part of the time between two sweeps that all pauses of one may take. */
const pausesShare = 0.5;

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
 * I1 One sweep runs at a time; a beat that comes meanwhile joins it. It goes in batches with pauses, so that its work
 *    is spread over the beat and everything else goes on.
 * I2 Of the servers that share a store, each looks after its own operations, and one removes those of all.
 */
export class Sweep {
  readonly #parts: SweepParts;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  readonly #stopped = new AbortController();

  constructor(parts: SweepParts) {
    this.#parts = parts;
  }

  /** Begins the beat. Safe to repeat. */
  start(): void {
    this.#timer ??= setInterval(() => void this.run(), this.#parts.options.sweepIntervalMs).unref();
  }

  /**
   * Ends the beat, and a sweep that is under way after its present batch; then saves all progress if it can. Safe to
   * repeat.
   */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#stopped.abort();
    await this.#running;
    await this.#logged(unsaved, async () => {
      for (const operations of batches([...this.#parts.registry.own])) {
        await this.#save(operations);
      }
    });
  }

  /** Sweeps once. Trouble is logged; the next sweep tries again. */
  run(): Promise<void> {
    this.#running ??= inSpan("longhaul sweep", {}, () => this.#sweep(), ROOT_CONTEXT).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #sweep(): Promise<void> {
    const { standing, takeOver } = this.#parts;
    await this.#refreshAll();
    if (this.#stopped.signal.aborted) {
      return;
    }
    await this.#logged("what other servers have left could not be taken over", takeOver);
    if (standing.isFirst) {
      await this.#logged("expired operations could not be removed", () => this.#expire());
    }
  }

  async #refreshAll(): Promise<void> {
    const { registry, options } = this.#parts;
    const all = batches([...registry.own]);
    const pauseMs = Math.min(longestPauseMs, (pausesShare * options.sweepIntervalMs) / all.length);
    let canSave = true;
    for (const operations of all) {
      await this.#refresh(operations);
      if (canSave) {
        canSave = await this.#logged(unsaved, () => this.#save(operations));
      }
      if (operations !== all.at(-1)) {
        await pause(pauseMs, this.#stopped.signal);
      }
      if (this.#stopped.signal.aborted) {
        return;
      }
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

  async #save(operations: readonly OwnOperation[]): Promise<void> {
    const dirty = operations.filter(({ operation }) => operation.isDirty);
    await Promise.all(dirty.map(({ operation }) => operation.flush()));
  }

  async #expire(): Promise<void> {
    const { store, registry, options } = this.#parts;
    while (!this.#stopped.signal.aborted) {
      const now = options.now();
      const expired = await store.expire(now, expireBatch, now + options.tombstoneRetentionMs);
      registry.forget(expired);
      if (expired.length < expireBatch) {
        return;
      }
      await pause(expirePauseMs, this.#stopped.signal);
    }
  }

  /** Answers whether it went well. */
  async #logged(message: string, step: () => Promise<void>): Promise<boolean> {
    try {
      await step();
      return true;
    } catch (error) {
      this.#parts.log.error({ err: error }, message);
      return false;
    }
  }
}

function batches(operations: readonly OwnOperation[]): (readonly OwnOperation[])[] {
  return Array.from({ length: Math.ceil(operations.length / batch) }, (_, index) =>
    operations.slice(index * batch, (index + 1) * batch),
  );
}
