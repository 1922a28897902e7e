import type { OperationInfo, OperationMetrics, PollingClient } from "longhaul";
import { LiveDisplay } from "../../src/cli/live-display.ts";
import { newestMetric } from "../../src/cli/newest-metric.ts";
import { renderOperation } from "../../src/cli/render-operation.ts";

/** Where the output is no terminal, a drawing is printed each time the work has come this much further, in percent. */
const printEvery = 20;
/** Metric records a plot is drawn from. */
const plotted = 60;

/** Shows an operation as it goes on, to its end or until `isEnough`, and answers the last snapshot. */
export async function showProgress(
  client: PollingClient,
  operationId: string,
  isEnough: (operation: OperationInfo) => boolean = () => false,
): Promise<OperationInfo> {
  const live = process.stdout.isTTY ? new LiveDisplay(process.stdout) : undefined;
  let last: OperationInfo | undefined;
  let printed = Number.NEGATIVE_INFINITY;
  for await (const operation of client.watch(operationId)) {
    last = operation;
    const percentage = operation.progress?.percentage ?? 0;
    if (live || percentage >= printed + printEvery || percentage === 100) {
      printed = percentage;
      const width = process.stdout.columns || 100;
      const lines = renderOperation(operation, await series(client, operation), Date.now(), { width, color: !!live });
      if (live) {
        live.draw(lines);
      } else {
        process.stdout.write(`${lines.join("\n")}\n`);
      }
    }
    if (isEnough(operation)) {
      break;
    }
  }
  if (!last) {
    throw new Error(`operation ${operationId} was not seen`);
  }
  return last;
}

async function series(client: PollingClient, { operationId, metricsCursor }: OperationInfo) {
  if (metricsCursor === 0n) {
    return undefined;
  }
  const { metrics } = await client.rpc.getMetrics({ operationId, latest: true, maxRecords: plotted });
  return metrics && newestMetric(metrics);
}

/** Reads epochs by cursor as they appear, to the end of the training. Throws when one is missing or comes twice. */
export async function followEpochs(
  client: PollingClient,
  operationId: string,
): Promise<{ epochs: number; pages: number }> {
  let epochs = 0;
  let pages = 0;
  for await (const { metrics } of client.metrics(operationId, { follow: true })) {
    pages += 1;
    for (const sequence of epochSequences(metrics)) {
      epochs += 1;
      if (sequence !== epochs) {
        throw new Error(`epoch record ${sequence} came where ${epochs} was due`);
      }
    }
  }
  return { epochs, pages };
}

function epochSequences({ metrics }: OperationMetrics): number[] {
  return metrics.case === "training" ? metrics.value.epochs.map(({ sequence }) => Number(sequence)) : [];
}
