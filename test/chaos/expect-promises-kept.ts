import { expect } from "vitest";
import { runChaos } from "./chaos-run.ts";
import type { Victim } from "./world.ts";

const rounds = 50;
/** Always the same choices; `npm run test:chaos` makes others. */
const seed = 20_261_124;
/** Victims that run work themselves, some of which cannot be run again. */
const lose: ReadonlySet<Victim> = new Set(["server", "host", "replica"]);

/**
 * Kills a victim 50 times under load. What must hold: every acknowledged create is there, none has run twice, every
 * operation ends, no end changes, no metric record is lost or doubled, and no call fails that was tried long enough.
 */
export async function expectPromisesKept(victim: Victim, clients = 6): Promise<void> {
  const { broken, ...counts } = await runChaos({ victim, rounds, seed, clients });
  process.stderr.write(`${victim}: seed ${seed}, ${JSON.stringify(counts)}\n`);
  expect(broken, `seed ${seed}`).toEqual([]);
  expect(counts.kills).toBe(rounds);
  // The load has been one: enough of everything has happened.
  expect(counts.ends["COMPLETED"]).toBeGreaterThan(rounds);
  expect(counts.ends["CANCELLED"]).toBeGreaterThan(0);
  if (lose.has(victim)) {
    // The kills have met work.
    expect(counts.ends["FAILED"]).toBeGreaterThan(rounds / 2);
  }
}
