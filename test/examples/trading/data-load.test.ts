import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { BarDatabase } from "../../../examples/trading/bar-database.ts";
import { barRangeFromMetadata } from "../../../examples/trading/bar-range.ts";
import { loadData } from "../../../examples/trading/data-load.ts";
import { splitEvenly } from "../../../examples/trading/split-evenly.ts";
import { FakeContext } from "./fake-context.ts";
import { temporaryFolder } from "./temporary-folder.ts";

describe("data_load", () => {
  test("loads every bar and says so", async () => {
    const { fake, database } = await dataLoad();
    const summary = await loadData("op", fake.context);

    expect(summary).toMatchObject({
      symbol: "SPX",
      bars: 5105,
      segments: 50,
      first_date: "2000-01-03",
      last_date: "2020-04-17",
      checksum_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(countRows(database)).toBe(5105);
  });

  test("records each segment, and together they are the whole file", async () => {
    const { fake } = await dataLoad();
    await loadData("op", fake.context);
    const segments = fake.records("segment");

    expect(segments.map((segment) => segment.segment)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
    expect(segments.reduce((sum, segment) => sum + (segment.items ?? 0n), 0n)).toBe(5105n);
    // The file has 415,968 bytes; its header has 41 and its last line no line feed.
    expect(segments.reduce((sum, segment) => sum + (segment.bytes ?? 0n), 0n)).toBe(415_968n - 41n + 1n);
    expect(segments.at(0)?.startDate).toEqual(timestampFromDate(new Date("2000-01-03")));
    expect(segments.at(-1)?.endDate).toEqual(timestampFromDate(new Date("2020-04-17")));
  });

  test("its segments take the progress from 10 to 96 %", async () => {
    const { fake } = await dataLoad({ segments: 2 });
    await loadData("op", fake.context);

    expect(fake.percentages).toEqual(fake.percentages.toSorted((left, right) => left - right));
    expect(fake.percentages.at(-1)).toBe(100);
    const half = fake.updates.find((update) => update.itemsProcessed === 2552);
    expect(half).toMatchObject({ itemsTotal: 5105, context: { segment: 1, segments: 2, symbol: "SPX" } });
    expect(half?.percentage).toBeCloseTo(10 + 86 * (2552 / 5105), 9);
  });

  test("again changes nothing", async () => {
    const { fake, database } = await dataLoad();
    const summary = await loadData("op", fake.context);
    const again = new FakeContext({ operationType: "data_load", parameters: { database, segments: 7 } });

    expect(await loadData("op", again.context)).toEqual({ ...summary, segments: 7 });
    expect(countRows(database)).toBe(5105);
  });

  test("loads the range asked for", async () => {
    const metadata = {
      symbol: "SPX",
      timeframe: "1d",
      startDate: timestampFromDate(new Date("2019-12-30")),
      endDate: timestampFromDate(new Date("2020-01-02")),
    };
    const database = join(await temporaryFolder(), "trading.sqlite");
    const fake = new FakeContext({ operationType: "data_load", parameters: { database }, metadata });

    // 30 and 31 December and 2 January; never more segments than bars.
    expect(await loadData("op", fake.context)).toMatchObject({ bars: 3, segments: 3, first_date: "2019-12-30" });
  });

  test("stops where it is cancelled, and what it had loaded does not count", async () => {
    const { fake, database } = await dataLoad();
    fake.onUpdate = () => {
      if (fake.records("segment").length === 3) fake.cancellation.cancel("enough");
    };

    await expect(loadData("op", fake.context)).rejects.toMatchObject({ name: "AbortError" });
    expect(fake.records("segment")).toHaveLength(3);
    expect(countRows(database)).toBeGreaterThan(0);
    expect(BarDatabase.readLoaded(database, barRangeFromMetadata(fake.context.metadata))).toBeUndefined();
  });

  test.each([
    [{ segments: 0 }, "parameters.segments"],
    [{ database: 7 }, "parameters.database"],
    [{ delay_ms: -1 }, "parameters.delay_ms"],
    [{ segment: 5 }, "parameters.segment"],
  ])("refuses %j by name", async (parameters, name) => {
    const fake = new FakeContext({ operationType: "data_load", parameters });
    await expect(loadData("op", fake.context)).rejects.toThrow(`${name}: `);
  });
});

describe("splitEvenly", () => {
  test("cuts in order, with lengths that differ by one at most", () => {
    expect(splitEvenly([1, 2, 3, 4, 5], 2)).toEqual([
      [1, 2],
      [3, 4, 5],
    ]);
  });

  test("makes no empty runs", () => {
    expect(splitEvenly([1, 2], 5)).toEqual([[1], [2]]);
    expect(splitEvenly([], 5)).toEqual([]);
  });
});

async function dataLoad(parameters: { segments?: number } = {}): Promise<{ fake: FakeContext; database: string }> {
  const database = join(await temporaryFolder(), "trading.sqlite");
  return { fake: new FakeContext({ operationType: "data_load", parameters: { database, ...parameters } }), database };
}

function countRows(path: string): unknown {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const { count } = database.prepare("SELECT count(*) AS count FROM bars").get() ?? {};
    return count;
  } finally {
    database.close();
  }
}
