import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { anySeed } from "../support/random.ts";
import { spawnServer } from "../support/spawned-server.ts";
import { describeHarm, harmOf, residentMib } from "./abused-server.ts";
import { type MutationResult, sendMutatedRequests } from "./mutation-run.ts";

// Sends as many mutated requests as told to a server process, and prints what that did to it. The same seed makes the
// same requests. Ends with 1 when the server has died or a healthy client was not served.

/** Good requests before the first bad one. */
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

process.stdout.write(`seed ${seed}, ${requests} mutated requests\n`);
const directory = mkdtempSync(join(tmpdir(), "longhaul-abuse-"));
const server = await spawnServer(directory);
let isBroken = false;
try {
  // What they cost is what they cost beyond as many good requests at a time.
  await sendMutatedRequests({ url: server.url, seed, requests: goodRequests, isValid: true });
  let result: MutationResult | undefined;
  const beganMs = performance.now();
  const harm = await harmOf(server, async () => {
    const onProgress = (soFar: MutationResult) => {
      process.stdout.write(`  ${JSON.stringify(soFar)}, ${residentMib(server.pid)} MiB\n`);
    };
    result = await sendMutatedRequests({ url: server.url, seed, requests, onProgress });
  });
  process.stdout.write(`${JSON.stringify(result)} in ${Math.round(performance.now() - beganMs)} ms\n`);
  process.stdout.write(`${describeHarm("mutated requests", harm)}\n`);
  isBroken = harm.healthyFailures.length > 0;
  for (const failure of harm.healthyFailures.slice(0, 10)) {
    process.stdout.write(`  failed: ${failure}\n`);
  }
} finally {
  server.kill("SIGKILL");
  await server.exited;
  rmSync(directory, { recursive: true, force: true });
}
process.exit(isBroken ? 1 : 0);
