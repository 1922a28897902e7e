import { type Load, type LoadRun, runH2load } from "./h2load.ts";
import { cpuMicroseconds } from "./process-cpu.ts";
import { percentile, shuffled } from "./statistics.ts";
import { callTarget, type Target } from "./target.ts";

/** Something whose cost is compared with that of others. */
export interface Contender {
  readonly name: string;
  /** Every process that takes part in answering. Default none: its CPU is not of interest. */
  readonly pids?: () => readonly number[];
  /** The calls; those of several servers go out at the same time. */
  readonly targets: readonly Target[];
  /** Throws when the answer is not the right one. */
  readonly check: (message: unknown) => void;
  readonly load: Omit<Load, "calls">;
}

/** What one burst of calls showed. */
export interface Burst {
  /** CPU of all its processes for each call, in microseconds. */
  readonly cpu: number;
  readonly callsPerSecond: number;
  /** Latencies, in microseconds. */
  readonly p50: number;
  readonly p99: number;
}

/** How often and how long. */
export interface BurstOptions {
  readonly rounds: number;
  /** About how long each burst takes. */
  readonly seconds: number;
  /** Called between warming up and the first measured burst. */
  readonly whenWarm?: () => Promise<unknown>;
}

/** Calls that show about how fast a contender is, and how long it then warms up: until what is hot is compiled. */
const firstCalls = 200;
const warmUpSeconds = [0.5, 1, 2];

/**
 * Bursts of calls at each contender in turn, in another order each round, so that a machine that slows down meanwhile
 * favours nobody. Before and after each burst one answer is decoded and checked. Answers the bursts of each contender
 * by its name; those of the same index are of the same round.
 */
export async function pairedBursts(
  contenders: readonly Contender[],
  { rounds, seconds, whenWarm }: BurstOptions,
): Promise<ReadonlyMap<string, readonly Burst[]>> {
  const calls = new Map<Contender, number>();
  for (const contender of contenders) {
    const { rate, connections, streams } = contender.load;
    let { callsPerSecond } = await burst(contender, firstCalls);
    for (const each of warmUpSeconds) {
      ({ callsPerSecond } = await burst(contender, Math.ceil(callsPerSecond * each)));
    }
    const open = rate === undefined ? connections * streams : 0;
    calls.set(contender, Math.ceil(Math.max(20, open, (rate ?? callsPerSecond) * seconds)));
  }
  await whenWarm?.();
  const bursts = new Map<string, Burst[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const contender of shuffled(contenders)) {
      bursts.get(contender.name)?.push(await burst(contender, calls.get(contender) ?? 0));
    }
  }
  return bursts;
}

async function burst({ targets, pids, check, load }: Contender, calls: number): Promise<Burst> {
  const answers = await checkedAnswers(targets, check);
  const connections = Math.ceil(load.connections / targets.length);
  // h2load gives every connection the same number of calls.
  const callsEach = Math.ceil(calls / targets.length / connections) * connections;
  const processes = pids?.() ?? [];
  const before = cpuMicroseconds(processes);
  const runs = await Promise.all(
    targets.map((target, index) =>
      runH2load(target, { ...load, connections, calls: callsEach }, answers[index]?.body.length ?? 0),
    ),
  );
  const cpu = cpuMicroseconds(processes) - before;
  await checkedAnswers(targets, check);
  return summary(runs, cpu);
}

function checkedAnswers(targets: readonly Target[], check: (message: unknown) => void) {
  return Promise.all(
    targets.map(async (target) => {
      const answer = await callTarget(target);
      check(answer.message);
      return answer;
    }),
  );
}

function summary(runs: readonly LoadRun[], cpu: number): Burst {
  const latencies = runs.flatMap((run) => run.latencies);
  return {
    cpu: cpu / latencies.length,
    callsPerSecond: latencies.length / Math.max(...runs.map((run) => run.seconds)),
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
  };
}
