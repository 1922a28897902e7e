import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { createRequest } from "../../src/cli/create-options.ts";
import { UsageError } from "../../src/cli/report-error.ts";

describe("the options of an operation", () => {
  test("make the request", () => {
    const request = createRequest("training", {
      name: "nightly",
      symbol: "AAPL",
      timeframe: "1h",
      mode: "full",
      start: "2025-01-20",
      end: "2025-02-01T12:00:00Z",
      label: ["team=research", "note=a=b"],
      requestId: "once",
      parent: "op_1",
      totalSteps: "10",
      timeout: "1.5h",
      retention: "7d",
    });
    expect(request).toEqual({
      operationType: "training",
      operationName: "nightly",
      requestId: "once",
      parentOperationId: "op_1",
      labels: { team: "research", note: "a=b" },
      totalSteps: 10n,
      metadata: {
        symbol: "AAPL",
        timeframe: "1h",
        mode: "full",
        parameters: {},
        startDate: timestampFromDate(new Date("2025-01-20T00:00:00Z")),
        endDate: timestampFromDate(new Date("2025-02-01T12:00:00Z")),
      },
      executionTimeout: expect.objectContaining({ seconds: 5_400n, nanos: 0 }),
      retention: expect.objectContaining({ seconds: 604_800n, nanos: 0 }),
    });
  });

  test("take a parameter as JSON where it parses and as text where it does not", () => {
    const param = [
      "n=5",
      "rate=0.1",
      "on=true",
      "none=null",
      'list=[1, "a"]',
      "text=hello",
      'quoted="5"',
      "empty=",
      "eq=a=b",
    ];
    expect(createRequest("t", { param }).metadata?.parameters).toEqual({
      n: 5,
      rate: 0.1,
      on: true,
      none: null,
      list: [1, "a"],
      text: "hello",
      quoted: "5",
      empty: "",
      eq: "a=b",
    });
  });

  test("take single parameters over those of --params", () => {
    const options = { params: '{"a": 1, "b": {"c": 2}}', param: ["a=2"] };
    expect(createRequest("t", options).metadata?.parameters).toEqual({ a: 2, b: { c: 2 } });
  });

  test.each([
    [{ param: ["novalue"] }, '--param is "novalue"; it must be key=value'],
    [{ param: ["=5"] }, '--param is "=5"'],
    [{ label: ["x"] }, '--label is "x"'],
    [{ params: "[1]" }, "--params must be a JSON object"],
    [{ params: "{" }, "--params must be a JSON object"],
    [{ start: "yesterday" }, '--start is "yesterday"'],
    [{ end: "2025-13-45" }, '--end is "2025-13-45"'],
    [{ totalSteps: "-1" }, '--total-steps is "-1"'],
    [{ totalSteps: "ten" }, '--total-steps is "ten"'],
    [{ timeout: "90" }, '--timeout is "90"'],
    [{ timeout: "-5s" }, '--timeout is "-5s"'],
    [{ retention: "1 week" }, '--retention is "1 week"'],
  ])("are refused by their name: %j", (options, message) => {
    expect(() => createRequest("t", options)).toThrow(UsageError);
    expect(() => createRequest("t", options)).toThrow(message);
  });
});
