import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import { isDone } from "../client/polling-client.ts";
import { LiveDisplay } from "./live-display.ts";
import { type MetricSeries, newestMetric } from "./newest-metric.ts";
import { renderOperation } from "./render-operation.ts";
import { currentScreen, patienceMs, type Session, writeLines, writeOperation } from "./session.ts";
import { fitLine } from "./terminal-text.ts";

/** How an operation is shown. */
export interface ShowOptions {
  /** Ends the showing; the operation goes on. */
  readonly signal: AbortSignal;
  /** What is said below a live display, such as how to leave. Asked for at each drawing; empty means nothing. */
  readonly notice: () => string;
}

/** Metric records a plot is drawn from. */
const plotted = 60;
/** Time between two drawings while nothing changes, in milliseconds: the elapsed time goes on. */
const redrawMs = 250;

/**
 * Shows an operation to its end and answers the last snapshot, undefined when the signal ends that first. On a terminal
 * a live display, else one JSON line for each snapshot.
 */
export async function showOperation(
  session: Session,
  operationId: string,
  options: ShowOptions,
): Promise<OperationInfo | undefined> {
  const last = await (session.json ? showLines : showLive)(session, operationId, options);
  return options.signal.aborted ? undefined : last;
}

async function showLines({ client }: Session, operationId: string, { signal }: ShowOptions) {
  let last: OperationInfo | undefined;
  for await (const operation of client.watch(operationId, { signal, retryForMs: patienceMs })) {
    writeOperation(operation);
    last = operation;
  }
  return last;
}

async function showLive({ client }: Session, operationId: string, { signal, notice }: ShowOptions) {
  const display = new LiveDisplay(process.stdout);
  let last: OperationInfo | undefined;
  let series: MetricSeries | undefined;
  const draw = () => {
    if (!last) {
      return;
    }
    const screen = currentScreen();
    const said = isDone(last) ? "" : notice();
    display.draw([
      ...renderOperation(last, series, Date.now(), screen),
      ...(said === "" ? [] : [fitLine(`  ${said}`, screen.width)]),
    ]);
  };
  writeLines([operationId]);
  const timer = setInterval(draw, redrawMs);
  try {
    for await (const operation of client.watch(operationId, { signal, retryForMs: patienceMs })) {
      if (operation.metricsCursor !== last?.metricsCursor && operation.metricsCursor > 0n) {
        // A plot is worth no error: without it the rest is still true.
        const page = await client.rpc
          .getMetrics({ operationId, latest: true, maxRecords: plotted }, { signal })
          .catch(() => undefined);
        series = page?.metrics ? newestMetric(page.metrics) : series;
      }
      last = operation;
      draw();
    }
    return last;
  } finally {
    clearInterval(timer);
  }
}
