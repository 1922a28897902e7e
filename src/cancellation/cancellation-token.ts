/**
 * The two ends of one cancellation.
 *
 * I1. A cancellation has one reason, the first one, and is never taken back.
 * I2. What the probe once said is kept, so that every way of asking gives the same answer from then on.
 * I3. `wasObserved` is set only by answers the holder of the token acts on, never by the side that cancels.
 */

/** Thrown where work stops because it was cancelled; throwing it acknowledges the cancellation. */
export class CancellationError extends Error {
  /** "AbortError", so that code written for AbortSignal knows it. */
  override readonly name = "AbortError";
  /** The code of Node's own AbortError. */
  readonly code = "ABORT_ERR";
  /** Why it was cancelled. */
  readonly reason: string;

  constructor(reason: string) {
    super(`cancelled: ${reason}`);
    this.reason = reason;
  }
}

/** What else a token listens to. */
export interface CancellationSources {
  /** Asked synchronously whenever the token is; answers the reason once there is one. Default none. */
  readonly probe?: () => string | undefined;
  /**
   * Resolves with the probe's reason without being asked again; called once, when somebody waits or takes the signal.
   * Default none: only asking finds what the probe says.
   */
  readonly whenProbed?: () => Promise<string>;
}

/** The read-only end: what the work holds. */
export class CancellationToken {
  readonly #state: CancellationState;
  #signal: AbortSignal | undefined;
  #wait: Promise<string> | undefined;
  #observed = false;

  constructor(state: CancellationState) {
    this.#state = state;
  }

  /** Whether the work should stop. Synchronous and cheap: meant for inner loops. */
  isCancelled(): boolean {
    if (this.reason === undefined) return false;
    this.#observed = true;
    return true;
  }

  /** Why the work should stop; undefined while it should not. Looking at it does not count as having been told. */
  get reason(): string | undefined {
    return this.#state.ask();
  }

  /** Throws a CancellationError once the work should stop. */
  throwIfCancelled(): void {
    const reason = this.reason;
    if (reason === undefined) return;
    this.#observed = true;
    throw new CancellationError(reason);
  }

  /** Resolves with the reason when the work should stop, and never when it ends before. Keeps no process alive. */
  waitForCancellation(): Promise<string> {
    this.#wait ??= new Promise((resolve) => {
      this.#state.onCancelled((reason) => {
        this.#observed = true;
        resolve(reason);
      });
    });
    return this.#wait;
  }

  /** Aborts with the CancellationError. The same one each time; goes as it is into fetch, timers and streams. */
  get signal(): AbortSignal {
    if (this.#signal === undefined) {
      const controller = new AbortController();
      this.#signal = controller.signal;
      this.#state.onCancelled((reason) => {
        this.#observed = true;
        controller.abort(new CancellationError(reason));
      });
    }
    return this.#signal;
  }

  /**
   * The holder has been told: an answer was true, a wait resolved, or a signal it took was aborted. Tells work that
   * returned after seeing its cancellation from work that finished first.
   */
  get wasObserved(): boolean {
    return this.#observed;
  }
}

/** The writing end: what can cancel the token. */
export class CancellationController {
  /** The read-only end. */
  readonly token: CancellationToken;
  readonly #state: CancellationState;

  constructor(sources: CancellationSources = {}) {
    this.#state = new CancellationState(sources);
    this.token = new CancellationToken(this.#state);
  }

  /** Cancels the token. Answers whether this was the first reason; a later one changes nothing. */
  cancel(reason: string): boolean {
    return this.#state.ask() === undefined && this.#state.settle(reason);
  }
}

/** What both ends share. */
class CancellationState {
  readonly #sources: CancellationSources;
  readonly #listeners: ((reason: string) => void)[] = [];
  #reason: string | undefined;
  #listening = false;

  constructor(sources: CancellationSources) {
    this.#sources = sources;
  }

  ask(): string | undefined {
    if (this.#reason === undefined) {
      const probed = this.#sources.probe?.();
      if (probed !== undefined) this.settle(probed);
    }
    return this.#reason;
  }

  /** Answers whether this was the first reason (I1). */
  settle(reason: string): boolean {
    if (this.#reason !== undefined) return false;
    this.#reason = reason;
    for (const listener of this.#listeners.splice(0)) listener(reason);
    return true;
  }

  onCancelled(listener: (reason: string) => void): void {
    const reason = this.ask();
    if (reason !== undefined) {
      listener(reason);
      return;
    }
    this.#listeners.push(listener);
    if (this.#listening) return;
    this.#listening = true;
    void this.#sources.whenProbed?.().then((probed) => this.settle(probed));
  }
}
