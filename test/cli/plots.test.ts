import { describe, expect, test } from "vitest";
import { durationText } from "../../src/cli/duration-text.ts";
import { progressBar } from "../../src/cli/progress-bar.ts";
import { sparkline } from "../../src/cli/sparkline.ts";
import { textColumns } from "../../src/cli/terminal-text.ts";

describe("a sparkline", () => {
  test("runs from the smallest number to the largest", () => {
    expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8)).toBe("▁▂▃▄▅▆▇█");
    expect(sparkline([-10, 10], 8)).toBe("▁█");
  });

  test("shows the newest numbers when there are too many", () => {
    expect(sparkline([100, 1, 2, 3], 2)).toBe("▁█");
  });

  test("has gaps where a number is none", () => {
    expect(sparkline([0, Number.NaN, 1, Number.POSITIVE_INFINITY], 8)).toBe("▁ █ ");
    expect(sparkline([Number.NaN], 8)).toBe(" ");
  });

  test("is flat for equal numbers and empty for none", () => {
    expect(sparkline([5, 5, 5], 8)).toBe("▁▁▁");
    expect(sparkline([], 8)).toBe("");
  });
});

describe("a progress bar", () => {
  test.each([
    [0, "░░░░"],
    [25, "█░░░"],
    [50, "██░░"],
    [53.125, "██▏░"],
    [99.99, "███▉"],
    [100, "████"],
  ])("at %d %% is %s", (percentage, bar) => {
    expect(progressBar(percentage, 4)).toBe(bar);
  });

  test("is as wide as asked for, whatever the percentage", () => {
    for (let percentage = -5; percentage <= 105; percentage += 0.7) {
      expect(textColumns(progressBar(percentage, 13))).toBe(13);
    }
  });
});

describe("a duration", () => {
  test.each([
    [-5, "0 ms"],
    [850, "850 ms"],
    [999.6, "1 s"],
    [59_400, "59 s"],
    [59_600, "1 min 0 s"],
    [200_000, "3 min 20 s"],
    [7_500_000, "2 h 5 min"],
    [90_000_000, "25 h 0 min"],
  ])("of %d ms is %s", (ms, text) => {
    expect(durationText(ms)).toBe(text);
  });
});
