import type { Command } from "commander";
import type { OperationMetrics } from "../../gen/longhaul/v1/metrics_pb.ts";
import { wholeNumber } from "./create-options.ts";
import { metricLines } from "./metric-lines.ts";
import { connectPatienceMs, type GlobalOptions, patienceMs, type Session, withSession, writeJson } from "./session.ts";

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
    .option("--limit <n>", "records asked for at once; with --latest, records in all", "1000")
    .option("--latest", "only the newest --limit records, and with --follow those to come")
    .option("--follow", "go on until the operation has ended")
    .action((operationId: string, options: MetricsOptions, command: Command) =>
      withSession(command.optsWithGlobals<GlobalOptions>(), (session) => printMetrics(session, operationId, options)),
    );
}

async function printMetrics({ client }: Session, operationId: string, options: MetricsOptions): Promise<void> {
  const { latest = false, follow = false } = options;
  const leave = new AbortController();
  const interrupt = () => leave.abort();
  process.once("SIGINT", interrupt);
  try {
    if (follow) {
      // A server that is not there is told at once; later there is patience.
      await client.get(operationId, { signal: leave.signal, retryForMs: connectPatienceMs });
    }
    const pages = client.metrics(operationId, {
      cursor: wholeNumber(options.cursor, "--cursor"),
      maxRecords: Number(wholeNumber(options.limit, "--limit")),
      latest,
      follow,
      retryForMs: follow ? patienceMs : 0,
      signal: leave.signal,
    });
    for await (const { metrics } of pages) {
      printRecords(metrics);
    }
  } finally {
    process.off("SIGINT", interrupt);
  }
}

function printRecords(metrics: OperationMetrics): void {
  for (const line of metricLines(metrics)) {
    writeJson(line);
  }
}
