const rounds = 5;

/**
 * Microseconds each of some calls takes: the fastest of some rounds, for noise only ever adds. The calls take turns, so
 * that a machine that slows down meanwhile does not favour one of them.
 */
export async function fastest(
  callsPerRound: number,
  calls: readonly (() => Promise<unknown>)[],
): Promise<readonly number[]> {
  const best = calls.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < rounds; round++) {
    for (const [index, call] of calls.entries()) {
      const startedMs = performance.now();
      for (let done = 0; done < callsPerRound; done++) {
        await call();
      }
      const microseconds = ((performance.now() - startedMs) * 1_000) / callsPerRound;
      best[index] = Math.min(best[index] ?? microseconds, microseconds);
    }
  }
  return best;
}
