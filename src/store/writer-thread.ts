import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import type { Answer, StoreWriter, WriteName } from "./store-writes.ts";
import {
  type FromWriterThread,
  receivedError,
  type ToWriterThread,
  type WriteCall,
  type WriteOutcome,
  type WriterThreadStart,
} from "./writer-thread-protocol.ts";

/** The entry has the ending of this file: .ts when run from source, .js when built. */
const ownEntry = new URL(`./writer-thread-entry${extname(import.meta.url)}`, import.meta.url);

/** The thread has ended before it said what became of a write, which may have been done. */
export class WriterThreadEnded extends Error {
  override readonly name = "WriterThreadEnded";

  constructor(options?: ErrorOptions) {
    super("the thread that writes the database has ended", options);
  }
}

interface WaitingCall {
  readonly resolve: (answer: Answer<WriteName>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A thread that writes to a database file by a connection of its own, so that the event loop of this one goes on while
 * the disk is slow.
 *
 * I1 Every write is answered: by the thread after its commit, or with WriterThreadEnded.
 * I2 Writes reach the thread in the order they came, those of one turn of the event loop in one message.
 * I3 The thread keeps the process alive until it is up, and then while writes are under way.
 */
export class WriterThread {
  /** Resolves when the thread takes writes, with true; with false when it has ended before. */
  readonly up: Promise<boolean>;
  /** Resolves when the thread has ended and its connection is closed. */
  readonly ended: Promise<void>;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, WaitingCall>();
  #outgoing: WriteCall[] = [];
  #newestId = 0;
  #isUp = false;
  #end: WriterThreadEnded | undefined;

  /** `entry` is the first module of the thread. Default: the one that writes. */
  constructor(file: string, entry: URL = ownEntry) {
    const workerData: WriterThreadStart = { file };
    this.#worker = new Worker(entry, { workerData, name: "longhaul store" });
    let cause: unknown;
    this.#worker.once("error", (error) => {
      cause = error;
    });
    this.ended = new Promise((resolve) => {
      this.#worker.once("exit", () => {
        this.#endWith(new WriterThreadEnded({ cause }));
        resolve();
      });
    });
    const up = new Promise<boolean>((resolve) => {
      this.#worker.on("message", (message: FromWriterThread) => {
        if (message === "up") {
          this.#isUp = true;
          this.#unrefIdle();
          resolve(true);
        } else {
          this.#settle(message);
        }
      });
    });
    this.up = Promise.race([up, this.ended.then(() => false)]);
  }

  readonly write: StoreWriter = (name, rows, given) =>
    new Promise((resolve, reject) => {
      if (this.#end) {
        reject(this.#end);
        return;
      }
      this.#newestId++;
      if (this.#waiting.size === 0) {
        this.#worker.ref();
      }
      this.#waiting.set(this.#newestId, { resolve: resolve as WaitingCall["resolve"], reject });
      this.#outgoing.push({ id: this.#newestId, name, rows, given });
      if (this.#outgoing.length === 1) {
        setImmediate(() => this.#send());
      }
    });

  /** Lets the writes that have come end, then the thread. Safe to repeat. */
  async close(): Promise<void> {
    this.#send();
    this.#worker.ref();
    if (this.#isUp) {
      this.#post("close");
    } else {
      void this.#worker.terminate();
    }
    await this.ended;
  }

  #send(): void {
    if (this.#outgoing.length > 0) {
      this.#post(this.#outgoing);
      this.#outgoing = [];
    }
  }

  #post(message: ToWriterThread): void {
    this.#worker.postMessage(message);
  }

  #settle(outcomes: readonly WriteOutcome[]): void {
    for (const outcome of outcomes) {
      const call = this.#waiting.get(outcome.id);
      this.#waiting.delete(outcome.id);
      if ("error" in outcome) {
        call?.reject(receivedError(outcome.error));
      } else {
        call?.resolve(outcome.answer);
      }
    }
    this.#unrefIdle();
  }

  #unrefIdle(): void {
    if (this.#isUp && this.#waiting.size === 0) {
      this.#worker.unref();
    }
  }

  #endWith(end: WriterThreadEnded): void {
    this.#end = end;
    for (const { reject } of this.#waiting.values()) {
      reject(end);
    }
    this.#waiting.clear();
  }
}
