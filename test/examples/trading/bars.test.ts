import { describe, expect, test } from "vitest";
import { barFromLine, barTimestamp } from "../../../examples/trading/bars.ts";

const line = "2000-01-03,1469.25,1478,1438.359985,1455.219971,1455.219971,931800000";

describe("barFromLine", () => {
  test("reads every column", () => {
    expect(barFromLine(line)).toEqual({
      date: "2000-01-03",
      open: 1469.25,
      high: 1478,
      low: 1438.359985,
      close: 1455.219971,
      adjustedClose: 1455.219971,
      volume: 931_800_000,
    });
  });

  test.each([
    ["2000-01-03,1,2,1,2,2", "6 columns instead of 7"],
    [`${line},1`, "8 columns instead of 7"],
    ["2001-02-29,1,2,1,2,2,0", "the date is not a day"],
    ["3 Jan 2000,1,2,1,2,2,0", "the date is not a day"],
    ["2000-01-03,null,2,1,2,2,0", "a price is not a positive number"],
    ["2000-01-03,1,2,0,2,2,0", "a price is not a positive number"],
    ["2000-01-03,1,2,1,2,2,-1", "the volume is not a number"],
    ["2000-01-03,1,2,1,3,3,0", "outside low to high"],
    ["2000-01-03,1,4,2,3,3,0", "outside low to high"],
  ])("refuses %s and names it", (faulty, fault) => {
    expect(() => barFromLine(faulty)).toThrow(fault);
    expect(() => barFromLine(faulty)).toThrow(faulty);
  });
});

test("a day's bar is at midnight UTC", () => {
  expect(barTimestamp("2000-01-03")).toMatchObject({ seconds: 946_857_600n, nanos: 0 });
});
