import { parseArgs } from "node:util";
import { anySeed } from "../support/random.ts";
import type { SpawnedServer } from "../support/spawned-server.ts";
import { abuse, brokenPromises, describeHarm } from "./abused-server.ts";
import { type Attack, attackSet } from "./attack-set.ts";
import { type MutationResult, sendMutatedRequests } from "./mutation-run.ts";

// Attacks servers in every way there is, ends with as many mutated requests as told, and prints what each did. The same
// seed makes the same requests. Ends with 1 when a promise was not kept: it wants a machine that does nothing else.

/** How long a healthy client may wait meanwhile, at the 99th percentile. */
const p99LimitMs = 200;
/** An attack that is over sooner is made again, or the healthy client would have made few calls. */
const leastMs = 5_000;
/** Good requests before the first mutated one: what those cost is what they cost beyond as many good ones at a time. */
const goodRequests = 50_000;

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(anySeed()) },
    requests: { type: "string", default: "1000000" },
  },
});
const [seed, requests] = [Number(values.seed), Number(values.requests)];
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(requests)) {
  process.stderr.write("usage: test:abuse [--seed N] [--requests N]\n");
  process.exit(2);
}

const mutated: Attack = {
  name: `${requests} mutated requests of seed ${seed}`,
  run: async ({ port }) => {
    const onProgress = (soFar: MutationResult) => void process.stdout.write(`  ${JSON.stringify(soFar)}\n`);
    onProgress(await sendMutatedRequests({ url: `http://127.0.0.1:${port}`, seed, requests, onProgress }));
  },
};

let isBroken = false;
for (const attack of [...attackSet, mutated]) {
  const prepare = async ({ url }: SpawnedServer) => {
    if (attack === mutated) {
      await sendMutatedRequests({ url, seed, requests: goodRequests, isValid: true });
    }
  };
  const harm = await abuse(attack, { prepare, leastMs: attack === mutated ? 0 : leastMs });
  process.stdout.write(`${describeHarm(attack.name, harm)}\n`);
  for (const promise of brokenPromises(harm, p99LimitMs)) {
    isBroken = true;
    process.stdout.write(`  broken: ${promise}\n`);
  }
}
process.exit(isBroken ? 1 : 0);
