import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { BarDatabase, checksumOfBars } from "../../../examples/trading/bar-database.ts";
import type { BarRange } from "../../../examples/trading/bar-range.ts";
import { type Bar, barTimeMs } from "../../../examples/trading/bars.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const everything: BarRange = { symbol: "SPX", fromMs: Number.NEGATIVE_INFINITY, toMs: Number.POSITIVE_INFINITY };
const first = barOf("2000-01-03", 1455.219971);
const second = barOf("2000-01-04", 1399.420044);

describe("BarDatabase", () => {
  test("gives back what was written, oldest first and to the last digit", async () => {
    using database = new BarDatabase(join(await temporaryFolder(), "new", "bars.sqlite"));
    database.prepare("SPX");
    database.write("SPX", [second, first]);

    expect(database.read(everything)).toEqual([first, second]);
    expect(database.read({ ...everything, fromMs: barTimeMs(second.date) })).toEqual([second]);
    expect(database.read({ ...everything, symbol: "DAX" })).toEqual([]);
  });

  test("a bar written again replaces that of its day", async () => {
    using database = new BarDatabase(join(await temporaryFolder(), "bars.sqlite"));
    database.prepare("SPX");
    database.write("SPX", [first, second]);
    database.write("SPX", [barOf("2000-01-03", 7)]);

    expect(database.read(everything).map((bar) => bar.close)).toEqual([7, second.close]);
  });

  test("readers see a symbol only between its mark and the next load", async () => {
    const path = join(await temporaryFolder(), "bars.sqlite");
    expect(BarDatabase.readLoaded(path, everything)).toBeUndefined();

    using database = new BarDatabase(path);
    expect(BarDatabase.readLoaded(path, everything)).toBeUndefined();
    database.prepare("SPX");
    database.write("SPX", [first]);
    expect(BarDatabase.readLoaded(path, everything)).toBeUndefined();
    database.markLoaded(everything, "checksum");
    expect(BarDatabase.readLoaded(path, everything)).toEqual([first]);
    expect(BarDatabase.readLoaded(path, { ...everything, symbol: "DAX" })).toBeUndefined();
    database.prepare("SPX");
    expect(BarDatabase.readLoaded(path, everything)).toBeUndefined();
  });

  test("a part that was loaded does not pass for the whole", async () => {
    const path = join(await temporaryFolder(), "bars.sqlite");
    const part: BarRange = { ...everything, toMs: barTimeMs(first.date) };
    using database = new BarDatabase(path);
    database.prepare("SPX");
    database.write("SPX", [first]);
    database.markLoaded(part, "checksum");

    expect(BarDatabase.readLoaded(path, part)).toEqual([first]);
    expect(BarDatabase.readLoaded(path, everything)).toBeUndefined();
  });

  test("a file that is something else is an error that names it", async () => {
    const path = join(await temporaryFolder(), "notes.txt");
    await writeFile(path, "not a database, but long enough to be looked at as one ".repeat(20));

    const fault = `parameters.database: ${path} cannot be used as a SQLite file: `;
    expect(() => new BarDatabase(path)).toThrow(fault);
    expect(() => BarDatabase.readLoaded(path, everything)).toThrow(fault);
  });

  test("a folder is an error that names it", async () => {
    const path = await temporaryFolder();
    expect(() => new BarDatabase(path)).toThrow(`parameters.database: ${path} cannot be used`);
  });
});

test("the checksum tells any two lists of bars apart", () => {
  const checksum = checksumOfBars([first, second]);

  expect(checksumOfBars([first, second])).toBe(checksum);
  expect(checksumOfBars([second, first])).not.toBe(checksum);
  expect(checksumOfBars([first, { ...second, volume: second.volume + 1 }])).not.toBe(checksum);
});

function barOf(date: string, close: number): Bar {
  return { date, open: close, high: close, low: close, close, adjustedClose: close, volume: 5_792_140_000 };
}
