import type { OperationContext } from "longhaul";
import { BarDatabase, checksumOfBars, defaultDatabase } from "./bar-database.ts";
import { readBarLines, sp500Path } from "./bar-file.ts";
import { barRangeFromMetadata } from "./bar-range.ts";
import { type Bar, barFromLine, barTimestamp } from "./bars.ts";
import { delayMs, integerBetween, readParameters, textOr } from "./parameters.ts";
import { pause } from "./pause.ts";
import { splitEvenly } from "./split-evenly.ts";

interface DataLoadParameters {
  /** Pieces the bars are loaded in, each in one transaction. Default 50, at most one for each bar. */
  readonly segments: number;
  /** The SQLite file. */
  readonly database: string;
  /** Pause after each segment, in milliseconds. Default 0. */
  readonly delay_ms: number;
}

/** What a data load says at its end. A type and no interface, so that it is a JSON object. */
export type DataLoadSummary = {
  readonly symbol: string;
  /** Bars of the range in the database, as read back. */
  readonly bars: number;
  readonly segments: number;
  /** The days of the first and the last bar. */
  readonly first_date: string;
  readonly last_date: string;
  /** Over the values of the bars as read back; see `checksumOfBars`. */
  readonly checksum_sha256: string;
  /** The SQLite file. */
  readonly database: string;
};

/**
 * Loads the bars of the S&P 500 that the metadata asks for into a SQLite table, segment by segment. Running it again
 * changes nothing; cut off, it leaves no symbol that counts as loaded. Fails when what is read back is not what was
 * written.
 */
export async function loadData(_operationId: string, context: OperationContext): Promise<DataLoadSummary> {
  const { segments, database, delay_ms } = readParameters<DataLoadParameters>(context.parameters, {
    segments: integerBetween({ default: 50, min: 1, max: 1000 }),
    database: textOr(defaultDatabase),
    delay_ms: delayMs,
  });
  const { progress, token } = context;
  const range = barRangeFromMetadata(context.metadata);

  progress.startStep("Verify source", { fromPercentage: 0, toPercentage: 5 });
  const path = sp500Path();
  const pieces = splitEvenly(await readBarLines(path, range), segments);
  const total = pieces.reduce((sum, piece) => sum + piece.length, 0);
  progress.completeStep();

  progress.startStep("Prepare table", { fromPercentage: 5, toPercentage: 10 });
  using table = new BarDatabase(database);
  table.prepare(range.symbol);
  progress.completeStep();

  progress.startStep("Load segments", { fromPercentage: 10, toPercentage: 96, items: total });
  const source: Bar[] = [];
  for (const [index, lines] of pieces.entries()) {
    token.throwIfCancelled();
    source.push(...loadSegment(context, table, range.symbol, index + 1, lines));
    progress.updateStepProgress({
      itemsProcessed: source.length,
      currentItem: source.at(-1)?.date ?? "",
      context: { segment: index + 1, segments: pieces.length, symbol: range.symbol },
    });
    await pause(delay_ms, token.signal);
  }
  progress.completeStep();

  progress.startStep("Index and verify", { fromPercentage: 96, toPercentage: 100 });
  table.index();
  const stored = table.read(range);
  const checksum = checksumOfBars(stored);
  if (checksum !== checksumOfBars(source)) {
    throw new Error(
      `${database} holds ${stored.length} bars of ${range.symbol} that differ from the ${total} of ${path}`,
    );
  }
  table.markLoaded(range, checksum);
  progress.completeStep();
  return {
    symbol: range.symbol,
    bars: stored.length,
    segments: pieces.length,
    first_date: stored.at(0)?.date ?? "",
    last_date: stored.at(-1)?.date ?? "",
    checksum_sha256: checksum,
    database,
  };
}

function loadSegment(
  context: OperationContext,
  table: BarDatabase,
  symbol: string,
  segment: number,
  lines: readonly string[],
): Bar[] {
  const begin = performance.now();
  const bars = lines.map(barFromLine);
  table.write(symbol, bars);
  const first = bars.at(0);
  const last = bars.at(-1);
  context.record("segment", {
    segment,
    items: BigInt(bars.length),
    bytes: BigInt(lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0)),
    durationSeconds: (performance.now() - begin) / 1000,
    ...(first !== undefined && { startDate: barTimestamp(first.date) }),
    ...(last !== undefined && { endDate: barTimestamp(last.date) }),
  });
  return bars;
}
