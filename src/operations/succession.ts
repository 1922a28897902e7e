import type { Logger } from "pino";
import { pause } from "./pause.ts";
import { recoverForgotten, type TakeOverContext, takeOver } from "./take-over.ts";

/** When it is looked again for what the servers that are gone have left, in milliseconds. */
const secondLookMs = 1_000;

/** What succession needs. */
export interface SuccessionParts {
  readonly takeOverContext: TakeOverContext;
  readonly log: Logger;
  /** Aborts when the registry closes. */
  readonly closed: AbortSignal;
}

/**
 * What passes from one server to another by way of the store: operations whose server is gone, and requests to those
 * who could not be asked.
 *
 * I1 One taking over runs at a time; who asks meanwhile waits for the same one. The same holds for requests.
 * I2 After a call whose answer was lost, more may be stored as this server's than it knows: it looks, until it has seen.
 */
export class Succession {
  readonly #parts: SuccessionParts;
  #takingOver: Promise<void> | undefined;
  #takingRequests: Promise<void> | undefined;
  #mayHaveForgotten = false;

  constructor(parts: SuccessionParts) {
    this.#parts = parts;
  }

  /** Takes over the operations of servers that are gone. Rejects when the store cannot be written. */
  takeOver(): Promise<void> {
    this.#takingOver ??= this.#takeOver().finally(() => {
      this.#takingOver = undefined;
    });
    return this.#takingOver;
  }

  /** Other servers are gone: takes over at once, and once more what was just being written and so was passed over. */
  async othersGone(): Promise<void> {
    await this.takeOver();
    await pause(secondLookMs, this.#parts.closed);
    await this.takeOver();
  }

  /** Takes up what other servers have written into this one's records, which is requests to cancel. */
  takeRequests(): Promise<void> {
    this.#takingRequests ??= this.#takeRequests().finally(() => {
      this.#takingRequests = undefined;
    });
    return this.#takingRequests;
  }

  /** For the `catch` of a create: it may have been stored although it failed. Throws the error on. */
  readonly inDoubt = (error: unknown): never => {
    this.#mayHaveForgotten = true;
    throw error;
  };

  async #takeOver(): Promise<void> {
    await this.#recoverForgotten();
    const count = await takeOver(this.#parts.takeOverContext).catch(this.inDoubt);
    if (count > 0) {
      this.#parts.log.info({ count }, "took over operations");
    }
  }

  async #takeRequests(): Promise<void> {
    await this.#recoverForgotten();
    const { store, standing, registry } = this.#parts.takeOverContext;
    // The next write of each says that this has been seen.
    for (const operationId of await store.changedByOthers(standing.instanceId)) {
      await registry.active(operationId)?.operation.reload();
    }
  }

  async #recoverForgotten(): Promise<void> {
    if (this.#mayHaveForgotten) {
      this.#mayHaveForgotten = false;
      await recoverForgotten(this.#parts.takeOverContext).catch(this.inDoubt);
    }
  }
}
