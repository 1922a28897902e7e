import { describe, expect, test } from "vitest";
import { familyOfKind, familyOfType, familyWithRecord } from "../../src/progress/metrics-family.ts";

describe("the family of an operation's metrics", () => {
  test("well-known types have their own, all others begin as custom", () => {
    const types = ["training", "data_load", "backtesting", "lstm_training", "constructor"];
    expect(types.map(familyOfType)).toEqual(["training", "data_load", "backtesting", "custom", "custom"]);
  });

  test("bars and trades are of one family", () => {
    expect(familyOfKind("bar")).toBe(familyOfKind("trade"));
  });

  test("another type takes the family of its first record and keeps it", () => {
    expect(familyWithRecord("lstm_training", undefined, "epoch")).toBe("training");
    expect(familyWithRecord("lstm_training", "training", "epoch")).toBe("training");
    expect(() => familyWithRecord("lstm_training", "training", "custom")).toThrow(
      new TypeError('a "custom" record is of the family custom; this "lstm_training" operation keeps training'),
    );
  });

  test("a well-known type refuses another family from the first record on", () => {
    expect(() => familyWithRecord("data_load", undefined, "trade")).toThrow(
      new TypeError('a "trade" record is of the family backtesting; this "data_load" operation keeps data_load'),
    );
  });

  test("an unknown kind is refused by name", () => {
    expect(() => familyWithRecord("training", undefined, "toString" as "epoch")).toThrow(
      'unknown kind of metric record "toString"',
    );
  });
});
