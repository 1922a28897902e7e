import type { Answer, Given, WriteName } from "./store-writes.ts";

/** What a writer thread is started with. */
export interface WriterThreadStart {
  /** The database file, whose schema is the newest. */
  readonly file: string;
}

/** A write on its way to the thread. */
export interface WriteCall {
  /** Told from the thread's other calls by this. */
  readonly id: number;
  readonly name: WriteName;
  readonly rows: number;
  readonly given: Given<WriteName>;
}

/** What the thread is told: writes that came together, or to end after those it has. */
export type ToWriterThread = readonly WriteCall[] | "close";

/** What became of a write. */
export type WriteOutcome =
  | { readonly id: number; readonly answer: Answer<WriteName> }
  | { readonly id: number; readonly error: SentError };

/** What the thread tells: that it takes writes, or what became of some. */
export type FromWriterThread = readonly WriteOutcome[] | "up";

/** An error on its way between threads, which would take what SQLite says of it away. */
export interface SentError {
  readonly message: string;
  readonly stack: string | undefined;
  /** Result code of SQLite. Undefined for other errors. */
  readonly errcode: unknown;
}

/** Prepares an error for its way to another thread. */
export function sentError(error: unknown): SentError {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const errcode = error instanceof Error && "errcode" in error ? error.errcode : undefined;
  return { message, stack, errcode };
}

/** The error as it was thrown in the other thread. */
export function receivedError({ message, stack, errcode }: SentError): Error {
  return Object.assign(new Error(message), {
    ...(stack !== undefined && { stack }),
    ...(errcode !== undefined && { errcode }),
  });
}
