import type { StoreWriter } from "./store-writes.ts";
import type { WriterThread } from "./writer-thread.ts";

/** A writer that another thread writes for. */
export interface ThreadedWriter {
  readonly write: StoreWriter;
  /** Ends the thread, after the writes that have come. No write may come later. Safe to repeat. */
  close(): Promise<void>;
}

/** What a threaded writer is made of. Times are in milliseconds. */
export interface ThreadedWriterOptions {
  /** Writes in this thread, while the other one is not up. */
  readonly own: StoreWriter;
  readonly startThread: () => WriterThread;
  /** How long after its beginning the thread is started. With 0, the writer is there when the thread is up. */
  readonly startAfterMs: number;
  /** How long after the thread's end another one is started. */
  readonly restartAfterMs: number;
}

/**
 * Has a thread write as soon as it is up; until then, and when it has ended, this one does. A start need not wait for
 * the thread so, and what lives only for moments has none.
 *
 * I1 The two never write at the same time: each begins when the other's writes have ended.
 */
export async function threadedWriter({
  own,
  startThread,
  startAfterMs,
  restartAfterMs,
}: ThreadedWriterOptions): Promise<ThreadedWriter> {
  const underWay = new Set<Promise<unknown>>();
  const writeHere: StoreWriter = (name, rows, given) => {
    const write = own(name, rows, given);
    const ended = () => void underWay.delete(write);
    underWay.add(write);
    write.then(ended, ended);
    return write;
  };
  let writer = writeHere;
  let thread: WriterThread | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  function startAfter(ms: number): void {
    timer = setTimeout(() => void start(), ms).unref();
  }

  /** Resolves when the thread writes, or has ended without having been up. */
  async function start(): Promise<void> {
    const started = startThread();
    thread = started;
    void started.ended.then(() => {
      writer = writeHere;
      if (!isClosed) {
        startAfter(restartAfterMs);
      }
    });
    if (await started.up) {
      const idle = Promise.allSettled(underWay);
      writer = (name, rows, given) => idle.then(() => started.write(name, rows, given));
    }
  }

  if (startAfterMs === 0) {
    await start();
  } else {
    startAfter(startAfterMs);
  }
  return {
    write: (name, rows, given) => writer(name, rows, given),
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await thread?.close();
    },
  };
}
