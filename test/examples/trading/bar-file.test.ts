import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { readBarLines, sp500Path } from "../../../examples/trading/bar-file.ts";
import { type BarRange, barRangeFromMetadata } from "../../../examples/trading/bar-range.ts";
import { barFromLine, barHeader } from "../../../examples/trading/bars.ts";
import { OperationMetadataSchema } from "../../../gen/longhaul/v1/operation_pb.ts";
import { temporaryFolder } from "./temporary-folder.ts";

describe("the bars of the S&P 500", () => {
  test("are 5,105 well-formed ones from 2000-01-03 to 2020-04-17", async () => {
    const bars = (await readBarLines(sp500Path(), rangeOf())).map(barFromLine);

    expect(bars).toHaveLength(5105);
    expect(bars.at(0)).toMatchObject({ date: "2000-01-03", open: 1469.25, close: 1455.219971 });
    expect(bars.at(-1)).toMatchObject({ date: "2020-04-17", close: 2874.560059, volume: 5_792_140_000 });
  });

  test("are cut to the range asked for, both ends included", async () => {
    const lines = await readBarLines(sp500Path(), rangeOf("2000-01-04", "2000-01-06"));

    expect(lines.map((line) => line.slice(0, 10))).toEqual(["2000-01-04", "2000-01-05", "2000-01-06"]);
  });

  test("that are asked for outside the data are an error that names the field", async () => {
    await expect(readBarLines(sp500Path(), rangeOf("2030-01-01"))).rejects.toThrow("metadata.start_date");
  });
});

describe("a file that is not one of bars", () => {
  test("is refused for its header", async () => {
    const path = await fileOf("time,price\n1,2\n");
    await expect(readBarLines(path, rangeOf())).rejects.toThrow(`${path}: the header is "time,price"`);
  });

  test("is refused when a day comes twice", async () => {
    const path = await fileOf(`${barHeader}\n2000-01-03,1,1,1,1,1,1\n2000-01-03,1,1,1,1,1,1\n`);
    await expect(readBarLines(path, rangeOf())).rejects.toThrow("2000-01-03 comes after 2000-01-03");
  });
});

describe("barRangeFromMetadata", () => {
  test.each([
    ["metadata.symbol", { symbol: "AAPL" }],
    ["metadata.timeframe", { timeframe: "1h" }],
    ["metadata.start_date", { startDate: at("2001-01-01"), endDate: at("2000-01-01") }],
  ])("names %s when there is no such data", (field, metadata) => {
    expect(() => barRangeFromMetadata(create(OperationMetadataSchema, metadata))).toThrow(field);
  });
});

function rangeOf(from?: string, to?: string): BarRange {
  return barRangeFromMetadata(
    create(OperationMetadataSchema, {
      ...(from !== undefined && { startDate: at(from) }),
      ...(to !== undefined && { endDate: at(to) }),
    }),
  );
}

function at(date: string) {
  return timestampFromDate(new Date(date));
}

async function fileOf(text: string): Promise<string> {
  const path = join(await temporaryFolder(), "bars.csv");
  await writeFile(path, text);
  return path;
}
