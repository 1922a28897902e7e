import { describe, expect, test } from "vitest";
import { anySeed } from "../support/random.ts";
import { abuse, brokenPromises, describeHarm } from "./abused-server.ts";
import { type Attack, attackSet } from "./attack-set.ts";
import { sendMutatedRequests } from "./mutation-run.ts";

/** More than is promised: a busy machine that also runs the attack may take longer. `npm run test:abuse` holds the rest. */
const p99LimitMs = 2_000;

const seed = anySeed();
const mutated: Attack = {
  name: "requests that are almost right",
  run: async ({ port }) => {
    const { answered, reset, lost } = await sendMutatedRequests({
      url: `http://127.0.0.1:${port}`,
      seed,
      requests: 5_000,
    });
    expect(answered + reset + lost).toBe(5_000);
    expect(answered).toBeGreaterThan(4_000);
  },
};

describe("a server stands", { timeout: 120_000 }, () => {
  test.each([...attackSet, mutated])("$name", async (attack) => {
    const harm = await abuse(attack);
    process.stderr.write(`${describeHarm(attack === mutated ? `${attack.name}, seed ${seed}` : attack.name, harm)}\n`);
    expect(harm.healthyCalls).toBeGreaterThan(0);
    expect(brokenPromises(harm, p99LimitMs)).toEqual([]);
  });
});
