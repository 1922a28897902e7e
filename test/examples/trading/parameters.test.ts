import { describe, expect, test } from "vitest";
import { integerBetween, numberBetween, readParameters, textOr } from "../../../examples/trading/parameters.ts";

const readers = {
  count: integerBetween({ default: 3, min: 1, max: 9 }),
  rate: numberBetween({ default: 0.5, min: 0, max: 1 }),
  file: textOr("here.sqlite"),
};

interface Example {
  readonly count: number;
  readonly rate: number;
  readonly file: string;
}

describe("readParameters", () => {
  test("gives the defaults where nothing is said", () => {
    expect(readParameters<Example>({}, readers)).toEqual({ count: 3, rate: 0.5, file: "here.sqlite" });
  });

  test("takes what is given, limits included", () => {
    const given = { count: 9, rate: 0, file: "there" };
    expect(readParameters<Example>(given, readers)).toEqual(given);
  });

  test.each([
    [{ count: 10 }, "parameters.count: must be a whole number from 1 to 9, not 10"],
    [{ count: 1.5 }, "parameters.count: must be a whole number from 1 to 9, not 1.5"],
    [{ count: "3" }, 'parameters.count: must be a whole number from 1 to 9, not "3"'],
    [{ count: null }, "parameters.count: must be a whole number from 1 to 9, not null"],
    [{ rate: -0.1 }, "parameters.rate: must be a number from 0 to 1, not -0.1"],
    [{ rate: [1] }, "parameters.rate: must be a number from 0 to 1, not [1]"],
    [{ file: "" }, 'parameters.file: must be a text that is not empty, not ""'],
    [{ counts: 3 }, "parameters.counts: is unknown; known are count, rate, file"],
  ])("refuses %j by name", (given, message) => {
    expect(() => readParameters<Example>(given, readers)).toThrow(new RangeError(message));
  });
});
