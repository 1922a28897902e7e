import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { randomFrom } from "../support/random.ts";
import { startLoad } from "./load.ts";
import { statusName, Told } from "./told.ts";
import { checkCount, checkLedger, checkMetrics, settle } from "./verify.ts";
import { startWorld, type Victim } from "./world.ts";

/** What is done. */
export interface ChaosOptions {
  readonly victim: Victim;
  /** How often it is killed. */
  readonly rounds: number;
  /** What the moments and the load follow from. */
  readonly seed: number;
  /** Clients at the same time. Default 6. */
  readonly clients?: number;
}

/** What came of it. */
export interface ChaosReport {
  readonly kills: number;
  readonly operations: number;
  readonly runs: number;
  /** Ends by status. */
  readonly ends: Readonly<Record<string, number>>;
  /** Answers that said they may be out of date. */
  readonly staleAnswers: number;
  /** Calls that succeeded, by method. */
  readonly calls: Readonly<Record<string, number>>;
  readonly seconds: number;
  /** What was promised and not kept; empty when all is well. */
  readonly broken: readonly string[];
}

/** The longest time from the first work after a kill to the next one, in milliseconds. */
const longestRoundMs = 300;
/** How long it may take after a kill until work begins again, in milliseconds. */
const atWorkWithinMs = 30_000;
const lookMs = 20;
/** Types that are run again after their process has died. */
const rerun: ReadonlySet<string> = new Set(["restartable"]);

/** Kills a victim at random moments under load, lets everything end, and holds the outcome against what was told. */
export async function runChaos({ victim, rounds, seed, clients = 6 }: ChaosOptions): Promise<ChaosReport> {
  const beganAtMs = performance.now();
  const random = randomFrom(seed);
  const told = new Told();
  await using world = await startWorld(victim);
  const load = startLoad({ ...world, told, random: randomFrom(seed + 1), clients });
  let kills = 0;
  for (; kills < rounds && told.broken.length === 0; kills++) {
    // A kill before anybody has come back would meet nothing that it could break.
    if (!(await beginsWork(world.ledger))) {
      told.broken.push(`no work began within ${atWorkWithinMs} ms of kill ${kills}`);
      break;
    }
    await sleep(10 + random() * longestRoundMs);
    await world.kill(random);
  }
  await load.stop();
  const ended = await settle(load, told);
  await checkMetrics(load, told, ended);
  await checkCount(load, told);
  const runs = checkLedger(world.ledger, told, ended, rerun);
  const ends: Record<string, number> = {};
  for (const { status } of ended.values()) {
    const name = statusName(status);
    ends[name] = (ends[name] ?? 0) + 1;
  }
  await load.close();
  return {
    kills,
    operations: told.ids.length,
    runs,
    ends,
    staleAnswers: told.staleAnswers,
    calls: Object.fromEntries([...load.calls].sort()),
    seconds: (performance.now() - beganAtMs) / 1_000,
    broken: told.broken,
  };
}

/** Whether a run begins, by its own account, within the time. */
async function beginsWork(ledger: string): Promise<boolean> {
  const size = () => statSync(ledger, { throwIfNoEntry: false })?.size ?? 0;
  const before = size();
  const giveUpAtMs = performance.now() + atWorkWithinMs;
  while (size() === before) {
    if (performance.now() > giveUpAtMs) {
      return false;
    }
    await sleep(lookMs);
  }
  return true;
}
