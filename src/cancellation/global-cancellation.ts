/**
 * The process-wide cancellation.
 *
 * I1. The first reason wins until it is reset.
 * I2. It also covers what is started after it: whoever starts something asks `globalCancellationReason`.
 */

let globalReason: string | undefined;
const listeners = new Set<(reason: string) => void>();

/**
 * Cancels every operation of this process, and those that start later until `resetGlobalCancellation`. Answers
 * whether this was the first reason; a later one changes nothing.
 */
export function cancelAllOperations(reason: string): boolean {
  if (globalReason !== undefined) return false;
  globalReason = reason;
  for (const listener of [...listeners]) listener(reason);
  return true;
}

/** Lets operations start again. What has been cancelled stays cancelled. */
export function resetGlobalCancellation(): void {
  globalReason = undefined;
}

/** Why everything is cancelled now; undefined when it is not. */
export function globalCancellationReason(): string | undefined {
  return globalReason;
}

/** Calls the listener at every process-wide cancellation to come, until the returned function is called. */
export function onGlobalCancellation(listener: (reason: string) => void): () => void {
  // Wrapped, so that a listener given twice is removed once by each of its functions.
  const entry = (reason: string): void => listener(reason);
  listeners.add(entry);
  return () => {
    listeners.delete(entry);
  };
}

/** How many listeners there are: the coordinators of this process that are not closed. */
export function globalCancellationListenerCount(): number {
  return listeners.size;
}
