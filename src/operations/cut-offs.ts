import type { Logger } from "pino";
import type { OperationSource } from "./operation-source.ts";
import type { OperationStore, StoredOperation } from "./operation-store.ts";
import { pause } from "./pause.ts";

/** Delays between attempts, in milliseconds: the first one, and the most it doubles to. */
const firstDelayMs = 250;
const maximumDelayMs = 15_000;
/**
 * How many attempts' time a host must deny knowing an operation before that is believed: the request that gave it the
 * operation may have been on its way.
 */
const attemptsDenied = 2;

/** What cutting off needs to know. */
export interface CutOffOptions {
  readonly store: OperationStore;
  readonly log: Logger;
  /** How long one attempt may take, in milliseconds. */
  readonly attemptTimeoutMs: number;
  /** Aborts when the registry closes. */
  readonly closed: AbortSignal;
}

interface CutOff {
  readonly source: OperationSource;
  readonly stop: AbortController;
}

/**
 * Ends the work of operations whose records were settled without it: cancelled by force, or given up as lost.
 *
 * The duty is in the store, as the ownership of an operation that has ended, until the source says that it is done; so
 * it outlives this process.
 */
export class CutOffs {
  readonly #options: CutOffOptions;
  readonly #pending = new Map<string, CutOff>();

  constructor(options: CutOffOptions) {
    this.#options = options;
  }

  /** Takes on the duty of an operation that has ended; without a source, there is no work. Safe to repeat. */
  begin(stored: StoredOperation, source: OperationSource | undefined): void {
    const { operationId } = stored.info;
    const pending = this.#pending.get(operationId);
    if (pending) {
      if (source !== pending.source) {
        source?.close();
      }
      return;
    }
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, this.#options.closed]);
    if (!source) {
      void this.#release(stored, signal);
      return;
    }
    this.#pending.set(operationId, { source, stop });
    void this.#deliver(stored, source, signal).then(() => {
      source.close();
      // After `abandon`, the entry may be another one's.
      if (!stop.signal.aborted) {
        this.#pending.delete(operationId);
      }
    });
  }

  /** Whether there is such a duty. */
  has(operationId: string): boolean {
    return this.#pending.has(operationId);
  }

  /** Forgets all duties: others have taken them over. */
  abandon(): void {
    for (const { stop } of this.#pending.values()) {
      stop.abort();
    }
    this.#pending.clear();
  }

  async #deliver(stored: StoredOperation, source: OperationSource, signal: AbortSignal): Promise<void> {
    const { cancellation, error } = stored.info;
    const reason = cancellation?.reason ?? error?.message ?? "the operation has ended";
    let deniedSinceMs: number | undefined;
    for (let delayMs = firstDelayMs; !signal.aborted; delayMs = Math.min(delayMs * 2, maximumDelayMs)) {
      const outcome = await this.#attempt(source, reason, signal);
      deniedSinceMs = outcome === "gone" ? (deniedSinceMs ?? performance.now()) : undefined;
      const deniedForMs = deniedSinceMs === undefined ? 0 : performance.now() - deniedSinceMs;
      if (outcome === "delivered" || deniedForMs >= attemptsDenied * this.#options.attemptTimeoutMs) {
        return this.#release(stored, signal);
      }
      await pause(delayMs, signal);
    }
  }

  async #attempt(source: OperationSource, reason: string, signal: AbortSignal) {
    const timeout = AbortSignal.timeout(this.#options.attemptTimeoutMs);
    try {
      const { outcome } = await source.cancel({ reason, force: true, signal: AbortSignal.any([timeout, signal]) });
      return outcome;
    } catch {
      return "unreachable";
    }
  }

  /** Stores that the duty is done. A server that is restarted before that does it again. */
  async #release({ info: { operationId }, owner }: StoredOperation, signal: AbortSignal): Promise<void> {
    for (let delayMs = firstDelayMs; !signal.aborted; delayMs = Math.min(delayMs * 2, maximumDelayMs)) {
      try {
        await this.#options.store.release(operationId, owner);
        return;
      } catch (error) {
        this.#options.log.warn({ err: error, operationId }, "a cut-off could not be stored as done");
        await pause(delayMs, signal);
      }
    }
  }
}
