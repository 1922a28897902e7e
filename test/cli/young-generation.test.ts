import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";

const module = new URL("../../src/cli/young-generation.ts", import.meta.url).href;
/** Prints how large the young generation is, in MiB, once objects have survived many of its collections. */
const churn = `
  const kept = [];
  for (let index = 0; index < 3_000_000; index++) {
    kept[index % 50_000] = { index, list: [index] };
  }
  const { space_size } = v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space");
  console.log(space_size / 2 ** 20);
`;

/** Far from both: left alone it has 128 MiB, kept small it has 2, now and then 8 and some pages. */
const betweenMib = 32;

test("the young generation of a server does not grow; Node.js would let it", () => {
  expect(youngMib("")).toBeGreaterThan(betweenMib);
  expect(youngMib("keepYoungGenerationSmall();")).toBeLessThan(betweenMib);
});

function youngMib(first: string): number {
  const script = `import v8 from "node:v8"; import { keepYoungGenerationSmall } from "${module}"; ${first} ${churn}`;
  return Number(execFileSync(process.execPath, ["--input-type=module", "--eval", script], { encoding: "utf8" }));
}
