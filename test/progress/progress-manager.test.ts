import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ProgressManager, type ProgressManagerOptions } from "../../src/progress/progress-manager.ts";
import type { ProgressUpdate } from "../../src/progress/progress-update.ts";

function createManager(options?: ProgressManagerOptions): {
  manager: ProgressManager;
  states: ProgressUpdate[];
  last: () => ProgressUpdate;
  percentage: () => number;
} {
  const states: ProgressUpdate[] = [];
  const last = (): ProgressUpdate => states.at(-1) ?? {};
  const manager = new ProgressManager((state) => states.push(state), options);
  return { manager, states, last, percentage: () => last().percentage ?? Number.NaN };
}

const percentages = fc.double({ min: 0, max: 100, noNaN: true });
const ranges = fc.tuple(percentages, percentages).map(([a, b]) => ({
  fromPercentage: Math.min(a, b),
  toPercentage: Math.max(a, b),
}));
const fractions = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 20 });

describe("ranges", () => {
  test("with range 10 to 96, 1 of 50 items is 11.72 and 25 of 50 is 53", () => {
    const { manager, percentage } = createManager();
    manager.startOperation("load");
    manager.startStep("segments", { fromPercentage: 10, toPercentage: 96, items: 50 });
    expect(percentage()).toBe(10);
    manager.updateStepProgress({ itemsProcessed: 1 });
    expect(percentage()).toBeCloseTo(11.72, 10);
    manager.updateStepProgress({ itemsProcessed: 25 });
    expect(percentage()).toBeCloseTo(53, 10);
    manager.completeStep();
    expect(percentage()).toBe(96);
  });

  test("a step inside a step maps its range into the outer one's", () => {
    const { manager, percentage, last } = createManager();
    manager.startOperation("train");
    manager.startStep("fit", { fromPercentage: 20, toPercentage: 60 });
    manager.startStep("fold", { fromPercentage: 50, toPercentage: 100 });
    manager.updateStepProgress({ fraction: 0.5 });
    expect(percentage()).toBeCloseTo(50, 10);
    expect(last().phasePath).toEqual(["fit", "fold"]);
    manager.completeStep();
    expect(percentage()).toBe(60);
  });

  test("the percentage stays within the step's range and never goes back", () => {
    fc.assert(
      fc.property(ranges, fractions, (range, reports) => {
        const { manager, percentage } = createManager();
        manager.startOperation("any");
        manager.startStep("step", range);
        let before = percentage();
        for (const fraction of reports) {
          manager.updateStepProgress({ fraction });
          expect(percentage()).toBeGreaterThanOrEqual(before);
          expect(percentage()).toBeGreaterThanOrEqual(range.fromPercentage);
          expect(percentage()).toBeLessThanOrEqual(range.toPercentage);
          before = percentage();
        }
        manager.completeStep();
        expect(percentage()).toBe(range.toPercentage);
      }),
    );
  });

  test("nested ranges stay inside the ranges around them, at any depth", () => {
    fc.assert(
      fc.property(fc.array(ranges, { minLength: 1, maxLength: 6 }), fractions, (nested, reports) => {
        const { manager, percentage } = createManager();
        manager.startOperation("any");
        let ends = 100;
        const outermost = nested[0];
        for (const range of nested) {
          manager.startStep("step", range);
          const start = percentage();
          expect(start).toBeLessThanOrEqual(ends + 1e-9);
          ends = Math.min(ends, outermost?.toPercentage ?? 100);
        }
        for (const fraction of reports) {
          const before = percentage();
          manager.updateStepProgress({ fraction });
          expect(percentage()).toBeGreaterThanOrEqual(before);
          expect(percentage()).toBeLessThanOrEqual(outermost?.toPercentage ?? 100);
        }
        for (const range of nested.toReversed()) {
          manager.completeStep();
          expect(percentage()).toBeLessThanOrEqual(outermost?.toPercentage ?? range.toPercentage);
        }
        expect(percentage()).toBe(outermost?.toPercentage);
      }),
    );
  });

  test("any order of steps keeps the percentage between 0 and 100 and moving forward", () => {
    const action = fc.oneof(
      fc.record({ start: fc.oneof(ranges, fc.constant({})) }),
      fc.record({ fraction: fc.double({ min: 0, max: 1, noNaN: true }) }),
      fc.record({ complete: fc.constant(true) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), fc.nat(5), (actions, totalSteps) => {
        const { manager, states } = createManager();
        manager.startOperation("any", { totalSteps });
        let depth = 0;
        for (const next of actions) {
          if ("start" in next) {
            manager.startStep("step", next.start);
            depth++;
          } else if (depth > 0 && "fraction" in next) {
            manager.updateStepProgress({ fraction: next.fraction });
          } else if (depth > 0) {
            manager.completeStep();
            depth--;
          }
        }
        manager.completeOperation();
        const seen = states.map((state) => state.percentage ?? Number.NaN);
        expect(seen).toEqual(seen.toSorted((a, b) => a - b));
        expect(seen[0]).toBe(0);
        expect(seen.at(-1)).toBe(100);
      }),
    );
  });

  test("steps without a range share equally what is left", () => {
    const { manager, percentage } = createManager();
    manager.startOperation("three", { totalSteps: 3 });
    manager.startStep("first", { fromPercentage: 0, toPercentage: 40 });
    manager.completeStep();
    manager.startStep("second");
    manager.completeStep();
    expect(percentage()).toBeCloseTo(70, 10);
    manager.startStep("third", { totalSteps: 2 });
    manager.startStep("third, first half");
    manager.completeStep();
    expect(percentage()).toBeCloseTo(85, 10);
    manager.completeStep();
    expect(percentage()).toBe(100);
  });

  test("a step without a range takes all that is left when the number of steps is unknown", () => {
    const { manager, percentage } = createManager();
    manager.startOperation("unknown");
    manager.startStep("only");
    manager.updateStepProgress({ fraction: 0.25 });
    expect(percentage()).toBe(25);
  });

  test("a step with the name of a declared phase takes its range, and phases count as steps", () => {
    const phases = [
      { name: "load", fromPercentage: 0, toPercentage: 10 },
      { name: "train", fromPercentage: 10, toPercentage: 96 },
    ];
    const { manager, last } = createManager({ phases });
    manager.startOperation("train");
    manager.startStep("train", { items: 2 });
    manager.updateStepProgress({ itemsProcessed: 1 });
    expect(last()).toMatchObject({ percentage: 53, stepsCompleted: 0, stepsTotal: 2 });
  });
});

describe("reports", () => {
  test("a flat operation counts its steps", () => {
    const { manager, last } = createManager();
    manager.startOperation("load", { totalSteps: 8 });
    manager.updateProgress({ step: 2, message: "Segment 2", context: { segment: 2 }, currentItem: "AAPL" });
    expect(last()).toEqual({
      percentage: 25,
      currentStep: "Segment 2",
      stepsCompleted: 2,
      stepsTotal: 8,
      phasePath: [],
      context: { segment: 2 },
      currentItem: "AAPL",
    });
    manager.updateProgress({ step: 1 });
    expect(last()).toMatchObject({ percentage: 25, stepsCompleted: 2, currentStep: "load", context: { segment: 2 } });
    manager.completeOperation();
    expect(last()).toMatchObject({ percentage: 100, stepsCompleted: 8 });
  });

  test("items and context belong to their step", () => {
    const { manager, last } = createManager();
    manager.startOperation("two", { totalSteps: 2 });
    manager.startStep("first", { items: 4 });
    manager.updateStepProgress({ itemsProcessed: 9, context: { a: 1 } });
    expect(last()).toMatchObject({ percentage: 50, itemsProcessed: 9, itemsTotal: 4, context: { a: 1 } });
    manager.completeStep();
    manager.startStep("second");
    expect(last()).toEqual({
      percentage: 50,
      currentStep: "second",
      stepsCompleted: 1,
      stepsTotal: 2,
      phasePath: ["second"],
    });
  });

  test("the renderer makes the text from the state", () => {
    const { manager, last } = createManager({ renderer: (state) => `${state.currentStep}: ${state.percentage} %` });
    manager.startOperation("load", { totalSteps: 4 });
    manager.updateProgress({ step: 1, message: "one" });
    expect(last().currentStep).toBe("one: 25 %");
  });
});

describe("refusals", () => {
  test.each([
    [{ fromPercentage: -1 }, "fromPercentage must be 0 to 100, not -1"],
    [{ fromPercentage: Number.NaN }, "fromPercentage must be 0 to 100, not NaN"],
    [{ toPercentage: 101 }, "toPercentage must be 0 (fromPercentage) to 100, not 101"],
    [{ fromPercentage: 50, toPercentage: 40 }, "toPercentage must be 50 (fromPercentage) to 100, not 40"],
    [{ items: -1 }, "items must be a finite number of 0 or more, not -1"],
    [{ totalSteps: Number.POSITIVE_INFINITY }, "totalSteps must be a finite number of 0 or more, not Infinity"],
  ])("a step with %o is refused, and the step before stays", (start, message) => {
    const { manager, states, last } = createManager();
    manager.startOperation("any");
    expect(() => manager.startStep("bad", start)).toThrow(new RangeError(message.replace(/^(from|to)P/, "step: $1P")));
    expect(states).toHaveLength(1);
    manager.startStep("good");
    expect(last().phasePath).toEqual(["good"]);
  });

  test.each([
    [{ fraction: 1.5 }, "fraction must be 0 to 1, not 1.5"],
    [{ fraction: Number.NaN }, "fraction must be 0 to 1, not NaN"],
    [{ itemsProcessed: -2 }, "itemsProcessed must be a finite number of 0 or more, not -2"],
  ])("a report of %o is refused", (report, message) => {
    const { manager, states } = createManager();
    manager.startOperation("any");
    manager.startStep("step", { items: 10 });
    expect(() => manager.updateStepProgress(report)).toThrow(new RangeError(message));
    expect(states).toHaveLength(2);
  });

  test("a step of more than totalSteps is refused", () => {
    const { manager } = createManager();
    manager.startOperation("any", { totalSteps: 3 });
    expect(() => manager.updateProgress({ step: 4 })).toThrow(
      new RangeError("step must be 0 to 3 (totalSteps), not 4"),
    );
  });

  test("what needs an operation or a step says so", () => {
    const { manager } = createManager();
    expect(() => manager.updateProgress({ step: 1 })).toThrow("cannot update the progress: no operation is started");
    expect(() => manager.startStep("a")).toThrow('cannot start the step "a": no operation is started');
    manager.startOperation("load");
    expect(() => manager.startOperation("again")).toThrow('cannot start "again": "load" is not completed');
    expect(() => manager.updateStepProgress({})).toThrow('cannot update the progress of a step: "load" has none open');
    expect(() => manager.completeStep()).toThrow('cannot complete a step: "load" has none open');
    manager.startStep("segments");
    expect(() => manager.updateProgress({ step: 1 })).toThrow('the step "segments" is open');
    manager.completeOperation();
    expect(() => manager.completeOperation()).toThrow("cannot complete the operation: no operation is started");
    manager.startOperation("again");
  });

  test("a declared phase out of range is refused by name", () => {
    const phases = [{ name: "train", fromPercentage: 50, toPercentage: 10 }];
    expect(() => createManager({ phases })).toThrow(
      new RangeError('phase "train": toPercentage must be 50 (fromPercentage) to 100, not 10'),
    );
  });
});
