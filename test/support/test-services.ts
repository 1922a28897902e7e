import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { anyPack, StructSchema, ValueSchema } from "@bufbuild/protobuf/wkt";
import { TradeSide } from "../../gen/longhaul/v1/metrics_pb.ts";
import type { OperationContext, OperationFunc } from "../../src/orchestrator/operation-context.ts";
import { ServiceOrchestrator } from "../../src/orchestrator/service-orchestrator.ts";

/**
 * Operations for tests. Each writes `parameters.records` (default 3) records of its type's kind with a pause of
 * `parameters.delayMs` (default 0) after each, then waits for its cancellation if `parameters.hold` is set, throws
 * `parameters.error` if that is set, and else returns how many records it wrote. Cancelled, it stops and acknowledges.
 * Each run first writes a line, "<operation id> <attempt>", to the file `parameters.ledger`, if that is set.
 *
 * "restartable" is run again after a restart of the process; "custom" keeps google.protobuf.Struct records; "threaded"
 * runs in a worker thread that a test leads through files, see file-led-worker.ts.
 */
export class TestServices extends ServiceOrchestrator {
  override readonly maxConcurrentOperations: number = 1_000;
  override readonly operations = {
    training: { operationFunc: workWith(recordEpoch) },
    data_load: { operationFunc: workWith(recordSegment) },
    backtesting: { operationFunc: workWith(recordBar) },
    custom: { operationFunc: workWith(recordStruct) },
    restartable: { operationFunc: workWith(recordStruct), restartable: true },
    threaded: { workerModule: new URL("./file-led-worker.ts", import.meta.url) },
  };
}

/** What a server process with `--services` of this module serves. */
export const testServices = new TestServices();

type WriteRecord = (context: OperationContext, index: number) => void;

function workWith(write: WriteRecord): OperationFunc {
  return async (operationId, context) => {
    const { records = 3, delayMs = 0, hold = false, error = "", ledger = "" } = context.parameters;
    if (ledger !== "") {
      appendFileSync(String(ledger), `${operationId} ${context.attempt}\n`);
    }
    const { signal } = context.token;
    for (let index = 1; index <= Number(records); index++) {
      write(context, index);
      context.updateProgress({ percentage: (100 * index) / Number(records), stepsCompleted: index });
      if (Number(delayMs) > 0) {
        await sleep(Number(delayMs), undefined, { signal });
      }
    }
    if (hold) {
      await context.token.waitForCancellation();
      context.token.throwIfCancelled();
    }
    if (error !== "") {
      throw new Error(String(error));
    }
    return { records };
  };
}

/** Every fifth validation loss is NaN, and the first training loss infinite. */
function recordEpoch(context: OperationContext, index: number): void {
  context.record("epoch", {
    epoch: index,
    trainLoss: index === 1 ? Number.POSITIVE_INFINITY : 1 / index,
    valLoss: index % 5 === 0 ? Number.NaN : 2 / index,
  });
}

function recordSegment(context: OperationContext, index: number): void {
  const error = index % 10 === 0 ? "no data" : "";
  context.record("segment", { segment: index, items: 100n, bytes: 4_096n, durationSeconds: 0.5, error });
}

/** With every second bar, a trade that earns 1. */
function recordBar(context: OperationContext, index: number): void {
  context.record("bar", { bar: index, close: 100, equity: 1_000 + index, position: 1, drawdown: 0.01 });
  if (index % 2 === 0) {
    context.record("trade", { trade: index / 2, side: TradeSide.SELL, quantity: 1, price: 100, profit: 1 });
  }
}

function recordStruct(context: OperationContext, index: number): void {
  const fields = { index: create(ValueSchema, { kind: { case: "numberValue", value: index } }) };
  context.record("custom", anyPack(StructSchema, create(StructSchema, { fields })));
}
