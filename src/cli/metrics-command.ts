import { type DescMessage, type Message, toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  BarMetricsSchema,
  CustomRecordSchema,
  EpochMetricsSchema,
  type OperationMetrics,
  SegmentMetricsSchema,
  TradeMetricsSchema,
} from "../../gen/longhaul/v1/metrics_pb.ts";
import { wholeNumber } from "./create-options.ts";
import { anyTypes, type GlobalOptions, type Session, withSession, writeJson } from "./session.ts";

interface MetricsOptions {
  readonly cursor: string;
  readonly limit: string;
  readonly follow?: boolean;
  readonly latest?: boolean;
}

/** Adds `metrics`. */
export function addMetricsCommand(program: Command): void {
  program
    .command("metrics <operation-id>")
    .description("print metric records, one JSON object a line")
    .option("--cursor <n>", "only records after this sequence", "0")
    .option("--limit <n>", "records asked for at once", "1000")
    .option("--latest", "only the newest --limit records")
    .option("--follow", "go on until the operation has ended")
    .action((operationId: string, options: MetricsOptions, command: Command) =>
      withSession(command.optsWithGlobals<GlobalOptions>(), (session) => printMetrics(session, operationId, options)),
    );
}

async function printMetrics({ client }: Session, operationId: string, options: MetricsOptions): Promise<void> {
  const cursor = wholeNumber(options.cursor, "--cursor");
  const maxRecords = Number(wholeNumber(options.limit, "--limit"));
  if (options.latest) {
    const page = await client.rpc.getMetrics({ operationId, cursor, maxRecords, latest: true });
    printRecords(page.metrics);
    return;
  }
  const leave = new AbortController();
  process.once("SIGINT", () => leave.abort());
  const pages = client.metrics(operationId, {
    cursor,
    maxRecords,
    follow: options.follow ?? false,
    retryForMs: 0,
    signal: leave.signal,
  });
  for await (const { metrics } of pages) {
    printRecords(metrics);
  }
}

function printRecords(message: OperationMetrics | undefined): void {
  for (const [schema, record] of recordsOf(message)) {
    writeJson(toJson(schema, record, { registry: anyTypes }));
  }
}

/** The records of a page in the order of their sequence. */
function recordsOf(message: OperationMetrics | undefined): [DescMessage, Message & { sequence: bigint }][] {
  const { metrics } = message ?? { metrics: { case: undefined } };
  switch (metrics.case) {
    case "training":
      return metrics.value.epochs.map((record) => [EpochMetricsSchema, record]);
    case "dataLoad":
      return metrics.value.segments.map((record) => [SegmentMetricsSchema, record]);
    case "backtesting": {
      const bars = metrics.value.bars.map((record): [DescMessage, typeof record] => [BarMetricsSchema, record]);
      const trades = metrics.value.trades.map((record): [DescMessage, typeof record] => [TradeMetricsSchema, record]);
      return [...bars, ...trades].sort(([, a], [, b]) => Number(a.sequence - b.sequence));
    }
    case "custom":
      return metrics.value.records.map((record) => [CustomRecordSchema, record]);
    default:
      return [];
  }
}
