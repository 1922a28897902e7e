import { shuffled } from "./statistics.ts";

/**
 * Microseconds each of some calls takes in this process, as means of rounds. Each round has them in another order, so
 * that a machine that slows down meanwhile favours none of them; samples of the same index are of the same round.
 */
export async function timedRounds(
  calls: readonly (() => Promise<unknown>)[],
  { rounds, callsPerRound }: { readonly rounds: number; readonly callsPerRound: number },
): Promise<readonly (readonly number[])[]> {
  const samples = calls.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, call] of shuffled([...calls.entries()])) {
      const startedMs = performance.now();
      for (let done = 0; done < callsPerRound; done++) {
        await call();
      }
      samples[index]?.push(((performance.now() - startedMs) * 1_000) / callsPerRound);
    }
  }
  return samples;
}
