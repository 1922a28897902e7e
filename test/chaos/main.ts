import { parseArgs } from "node:util";
import { anySeed } from "../support/random.ts";
import { runChaos } from "./chaos-run.ts";
import { type Victim, victims } from "./world.ts";

// Kills servers and databases at random moments under load, as often as told, and prints what came of it. The same seed
// makes the same choices, though not the same timing. Ends with 1 when a promise was not kept.

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(anySeed()) },
    rounds: { type: "string", default: "200" },
    victim: { type: "string", multiple: true, default: [...victims] },
    clients: { type: "string", default: "6" },
  },
});
const unknown = values.victim.find((victim) => !(victims as readonly string[]).includes(victim));
const [seed, rounds, clients] = [Number(values.seed), Number(values.rounds), Number(values.clients)];
if (unknown !== undefined || ![seed, rounds, clients].every(Number.isSafeInteger) || rounds < 1 || clients < 1) {
  process.stderr.write(`usage: test:chaos [--seed N] [--rounds N] [--clients N] [--victim ${victims.join("|")}]…\n`);
  process.exit(2);
}

let isBroken = false;
for (const victim of values.victim as Victim[]) {
  process.stdout.write(`${victim}: seed ${seed}, ${rounds} rounds\n`);
  const { broken, ...counts } = await runChaos({ victim, rounds, seed, clients });
  process.stdout.write(`  ${JSON.stringify(counts)}\n`);
  for (const line of broken) {
    process.stdout.write(`  broken: ${line}\n`);
  }
  isBroken ||= broken.length > 0;
}
process.exit(isBroken ? 1 : 0);
