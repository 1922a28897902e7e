import { setImmediate, setTimeout } from "node:timers/promises";

/**
 * Lets everybody else run, for at least `delayMs` milliseconds. Rejects with an AbortError as soon as the signal aborts.
 */
export async function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  if (delayMs > 0) await setTimeout(delayMs, undefined, { signal });
  else await setImmediate(undefined, { signal });
}
