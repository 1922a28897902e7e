import { setTimeout as sleep } from "node:timers/promises";

/**
 * The first answer of `look` that is not undefined, asked again and again. Rejects after `deadlineMs`, naming what was
 * awaited; the deadline is generous because it only decides when a broken test gives up.
 */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  deadlineMs = 15_000,
): Promise<T> {
  for (const endMs = performance.now() + deadlineMs; ; ) {
    const seen = await look();
    if (seen !== undefined) {
      return seen;
    }
    if (performance.now() > endMs) {
      throw new Error(`did not happen within ${deadlineMs} ms: ${what}`);
    }
    await sleep(20);
  }
}
