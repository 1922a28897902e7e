import { CallError } from "../operations/errors.ts";

/** Why a database cannot be used. */
export interface Trouble {
  /** For people, to follow "the store cannot be written: ". */
  readonly reason: string;
  /** It can still be read. */
  readonly readable: boolean;
}

/** What store calls need to know of the database. */
export interface StoreCallsOptions {
  /** Says of an error whether it means that the database cannot be used; undefined when only the call has failed. */
  readonly troubleOf: (error: unknown) => Trouble | undefined;
  /** Whether an error is nothing that trying again could mend: a mistake in a statement, a row that cannot be read. */
  readonly isFault: (error: unknown) => boolean;
  /** Really writes something, durably, that nobody reads. */
  readonly probe: () => Promise<void>;
  /** Told when the trouble begins, changes, and with undefined when it is over. Default nobody. */
  readonly onTrouble?: (reason: string | undefined) => void;
}

/** Time between two probes of a database that cannot be used, in milliseconds. */
const probeIntervalMs = 250;

/** A probe failed as a single call may fail, which says nothing that callers should read. */
const otherTrouble: Trouble = { reason: "a trial write has failed", readable: true };

/**
 * The way of all calls to a database.
 *
 * I1 A database in trouble is tried by one probe at a time; calls are refused at once meanwhile, for each would take its
 *    time to fail, and a disk that lost one write is not to be trusted with the next before it has kept one. The first
 *    probe comes at once: of SQLite, it overwrites what the failed write has left in the log, where a restart after a
 *    crash would take it for committed.
 * I2 After `close` no call begins, and it resolves when none is under way.
 */
export class StoreCalls {
  readonly #options: StoreCallsOptions;
  readonly #underWay = new Set<Promise<unknown>>();
  #trouble: Trouble | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: StoreCallsOptions) {
    this.#options = options;
  }

  /** Why the database cannot be used now. */
  get trouble(): Trouble | undefined {
    return this.#trouble;
  }

  /**
   * Runs a call that only reads. Throws a CallError STORE_UNAVAILABLE when it fails or must not be tried; a fault is
   * thrown as it is.
   */
  read<T>(call: () => Promise<T>): Promise<T> {
    return this.#run(call, this.#trouble?.readable === false, false);
  }

  /** Runs a call that writes; otherwise like `read`. What has failed may have been done all the same. */
  write<T>(call: () => Promise<T>): Promise<T> {
    return this.#run(call, this.#trouble !== undefined, true);
  }

  /** Refuses all later calls and lets those that are under way end. Safe to repeat. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await Promise.allSettled(this.#underWay);
  }

  async #run<T>(call: () => Promise<T>, refused: boolean, mayBeDone: boolean): Promise<T> {
    if (this.#closed) {
      throw new CallError("STORE_UNAVAILABLE", "the store is closed");
    }
    if (refused) {
      throw new CallError("STORE_UNAVAILABLE", `the store cannot be used: ${this.#trouble?.reason}`);
    }
    const result = call();
    this.#underWay.add(result);
    try {
      return await result;
    } catch (cause) {
      const trouble = this.#options.troubleOf(cause);
      if (trouble) {
        this.#enter(trouble);
      } else if (this.#options.isFault(cause)) {
        throw cause;
      }
      const why = trouble ? `cannot be used: ${trouble.reason}` : "could not be read or written";
      throw new CallError("STORE_UNAVAILABLE", `the store ${why}`, { cause, mayBeDone });
    } finally {
      this.#underWay.delete(result);
    }
  }

  #enter(trouble: Trouble): void {
    const before = this.#trouble;
    this.#trouble = trouble;
    if (before?.reason !== trouble.reason) {
      this.#options.onTrouble?.(trouble.reason);
    }
    if (this.#timer === undefined && !this.#closed) {
      this.#timer = setTimeout(() => void this.#probe(), before ? probeIntervalMs : 0).unref();
    }
  }

  async #probe(): Promise<void> {
    const probe = this.#options.probe();
    this.#underWay.add(probe);
    try {
      await probe;
      this.#timer = undefined;
      this.#trouble = undefined;
      this.#options.onTrouble?.(undefined);
    } catch (error) {
      this.#timer = undefined;
      this.#enter(this.#options.troubleOf(error) ?? otherTrouble);
    } finally {
      this.#underWay.delete(probe);
    }
  }
}
