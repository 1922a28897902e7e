import { CancellationController, type CancellationToken } from "./cancellation-token.ts";
import { globalCancellationReason, onGlobalCancellation } from "./global-cancellation.ts";

/**
 * The cancellations of many operations.
 *
 * I1. An operation has one token from the first ask to its release.
 * I2. While everything is cancelled, here or in the whole process, a token that is asked for is born cancelled.
 * I3. A reset revives nothing: it only concerns operations to come.
 * I4. After close the process holds no reference to the coordinator.
 */
export class CancellationCoordinator {
  readonly #controllers = new Map<string, CancellationController>();
  readonly #listeners = new Set<(reason: string) => void>();
  readonly #stopListening: () => void;
  #reason: string | undefined;

  constructor() {
    this.#stopListening = onGlobalCancellation((reason) => this.#cancelHeld(reason));
  }

  /** The operation's token: the same one each time, made at the first ask. */
  tokenFor(operationId: string): CancellationToken {
    return this.#controllerFor(operationId).token;
  }

  /**
   * Cancels one operation, also one whose token nobody has asked for yet. Answers whether this was the first reason;
   * a later one changes nothing.
   */
  cancel(operationId: string, reason: string): boolean {
    return this.#controllerFor(operationId).cancel(reason);
  }

  /** Cancels every operation held here, and all to come until `reset`. The first reason wins. */
  cancelAll(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#cancelHeld(reason);
  }

  /** Why everything is cancelled now, here or in the whole process; undefined when it is not. */
  get cancelAllReason(): string | undefined {
    return this.#reason ?? globalCancellationReason();
  }

  /** Ends `cancelAll` of this coordinator; the process-wide one has a reset of its own. */
  reset(): void {
    this.#reason = undefined;
  }

  /**
   * Calls the listener whenever everything is cancelled, after the tokens are, until the returned function is called.
   * It is not told of a cancellation that came before; see `cancelAllReason`.
   */
  onCancelAll(listener: (reason: string) => void): () => void {
    const entry = (reason: string): void => listener(reason);
    this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }

  /** Forgets an operation that has ended. A token somebody still has stays as it is and is no longer cancelled. */
  release(operationId: string): void {
    this.#controllers.delete(operationId);
  }

  /** How many operations are held. */
  get size(): number {
    return this.#controllers.size;
  }

  /** Stops hearing of process-wide cancellations and forgets every operation. Safe to repeat. */
  close(): void {
    this.#stopListening();
    this.#listeners.clear();
    this.#controllers.clear();
  }

  #controllerFor(operationId: string): CancellationController {
    let controller = this.#controllers.get(operationId);
    if (controller === undefined) {
      controller = new CancellationController();
      const reason = this.cancelAllReason;
      if (reason !== undefined) controller.cancel(reason);
      this.#controllers.set(operationId, controller);
    }
    return controller;
  }

  #cancelHeld(reason: string): void {
    for (const controller of [...this.#controllers.values()]) controller.cancel(reason);
    for (const listener of [...this.#listeners]) listener(reason);
  }
}
