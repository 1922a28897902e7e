import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import { isDone, type PollingOptions } from "../client/polling-client.ts";
import { LiveDisplay } from "./live-display.ts";
import { type MetricSeries, newestMetric } from "./newest-metric.ts";
import { renderOperation } from "./render-operation.ts";
import { type Session, writeOperation } from "./session.ts";

/** Metric records a plot is drawn from. */
const plotted = 60;
/** Time between two drawings while nothing changes, in milliseconds: the elapsed time goes on. */
const redrawMs = 250;

/** Shows an operation to its end and answers the last snapshot; undefined when the signal ends that first. */
export async function showOperation(
  session: Session,
  operationId: string,
  options: PollingOptions,
): Promise<OperationInfo | undefined> {
  return session.json ? showLines(session, operationId, options) : showLive(session, operationId, options);
}

async function showLines({ client }: Session, operationId: string, options: PollingOptions) {
  for await (const operation of client.watch(operationId, options)) {
    writeOperation(operation);
    if (isDone(operation)) {
      return operation;
    }
  }
  return undefined;
}

async function showLive({ client }: Session, operationId: string, options: PollingOptions) {
  const display = new LiveDisplay(process.stdout);
  const color = process.stdout.hasColors?.() ?? false;
  let shown: OperationInfo | undefined;
  let series: MetricSeries | undefined;
  const draw = () => {
    if (shown) {
      display.draw(renderOperation(shown, series, Date.now(), { width: display.width, color }));
    }
  };
  process.stdout.write(`${operationId}\n`);
  const timer = setInterval(draw, redrawMs);
  try {
    for await (const operation of client.watch(operationId, options)) {
      if (operation.metricsCursor !== shown?.metricsCursor && operation.metricsCursor > 0n) {
        // A plot is worth no error: without it the rest is still true.
        const page = await client.rpc
          .getMetrics({ operationId, latest: true, maxRecords: plotted })
          .catch(() => undefined);
        series = page?.metrics ? newestMetric(page.metrics) : series;
      }
      shown = operation;
      draw();
      if (isDone(operation)) {
        return operation;
      }
    }
    return undefined;
  } finally {
    clearInterval(timer);
    display.done();
  }
}
