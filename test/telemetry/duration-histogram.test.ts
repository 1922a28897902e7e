import { Histogram, Registry } from "prom-client";
import { expect, test } from "vitest";
import { createDurationHistogram, type ObservedDurations } from "../../src/telemetry/duration-histogram.ts";
import { randomFrom } from "../support/random.ts";

const described = { name: "seen_seconds", help: "Times,\nof a \\ kind.", buckets: [0.001, 0.0025, 0.25, 1, 60] };

/** Both histograms, each in a registry of its own, and what observes a duration in both. */
function bothHistograms() {
  const [own, theirs] = [new Registry(), new Registry()];
  const durationsOf = createDurationHistogram(own, { ...described, label: "method" });
  const theirHistogram = new Histogram({ ...described, labelNames: ["method"], registers: [theirs] });
  const known = new Map<string, ObservedDurations>();
  const observe = (method: string, seconds: number) => {
    const durations = known.get(method) ?? durationsOf(method);
    known.set(method, durations);
    durations.observe(seconds);
    theirHistogram.observe({ method }, seconds);
  };
  return { own, theirs, observe };
}

test("a page shows the text that prom-client's own histogram would show of the same durations", async () => {
  const { own, theirs, observe } = bothHistograms();
  expect(await own.metrics()).toBe(await theirs.metrics());

  const random = randomFrom(1);
  const methods = ["a.Service/Get", 'a.Service/"quoted"\\\n', "other"];
  for (const bound of [0, ...described.buckets]) {
    for (const seconds of [bound, bound + Number.EPSILON, bound * (1 - Number.EPSILON)]) {
      observe("a.Service/Bounds", seconds);
    }
  }
  for (let seen = 0; seen < 1_000; seen++) {
    observe(methods[Math.floor(random() * methods.length)] ?? "", 10 ** (random() * 7 - 5));
  }
  const page = await own.metrics();
  expect(page).toBe(await theirs.metrics());
  expect(page).toContain('seen_seconds_bucket{le="+Inf",method="a.Service/Bounds"} 18');
});

test("a registry takes no second metric of its name", () => {
  const { own } = bothHistograms();
  expect(() => createDurationHistogram(own, { ...described, label: "method" })).toThrow("already been registered");
});
