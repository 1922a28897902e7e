import { create, type JsonObject } from "@bufbuild/protobuf";
import { pino } from "pino";
import { describe, expect, onTestFinished, test } from "vitest";
import { backtestingService, dataService, trainingService } from "../../../examples/trading/services.ts";
import { operationFunc } from "../../../examples/trading/training-worker.ts";
import { OperationInfoSchema } from "../../../gen/longhaul/v1/operation_pb.ts";
import { CreateOperationRequestSchema } from "../../../gen/longhaul/v1/operations_service_pb.ts";
import { CancellationController } from "../../../src/cancellation/cancellation-token.ts";
import type { OperationControl, OperationOutcome } from "../../../src/operations/operation-executor.ts";
import type { OperationSource } from "../../../src/operations/operation-source.ts";
import type { ServiceOrchestrator } from "../../../src/orchestrator/service-orchestrator.ts";
import { FakeContext, noDatabase } from "./fake-context.ts";

test("the services serve the three types", () => {
  const types = [dataService, trainingService, backtestingService].map(({ operations }) => Object.keys(operations));
  expect(types).toEqual([["data_load"], ["training"], ["backtesting"]]);
});

describe("training in its worker thread", () => {
  test("gives the same numbers as in this one", async () => {
    const parameters = { epochs: 3, seed: 4, database: noDatabase };
    const here = new FakeContext({ operationType: "training", parameters });
    const summary = await operationFunc("op", here.context);
    const run = start(trainingService, "training", parameters);

    expect(await run.outcome).toEqual({ status: "completed", summary });
  });

  test("stops in the middle of its work when it is cancelled, by itself", async () => {
    // Ten thousand epochs take minutes, and the work never gives its thread back between two pauses.
    const run = start(trainingService, "training", { epochs: 10_000, database: noDatabase });
    await firstRecord(await run.source);
    run.cancellation.cancel("enough");

    expect(await run.outcome).toEqual({ status: "cancelled", forced: false });
  });

  test("fails with an error that names a bad parameter", async () => {
    const run = start(trainingService, "training", { epochs: -1 });

    expect(await run.outcome).toMatchObject({
      status: "failed",
      error: { message: "parameters.epochs: must be a whole number from 1 to 100000, not -1" },
    });
  });
});

test("a backtest runs to its end in this process", async () => {
  const run = start(backtestingService, "backtesting", { database: noDatabase });

  expect(await run.outcome).toMatchObject({ status: "completed", summary: { bars: 5105 } });
});

/** Has a service run one operation, with nothing of a registry but what the run itself needs. */
function start(service: ServiceOrchestrator, operationType: string, parameters: JsonObject) {
  const cancellation = new CancellationController();
  const source = Promise.withResolvers<OperationSource>();
  const outcome = Promise.withResolvers<OperationOutcome>();
  const control: OperationControl = {
    tokenFor: () => cancellation.token,
    start: async (_, createSource) => {
      const created = createSource({ attempt: 1, cursor: 0 });
      onTestFinished(() => created.close());
      source.resolve(created);
      return true;
    },
    accepted: async () => {},
    waiting: () => {},
    drain: async () => {},
    finish: async (_, ended) => outcome.resolve(ended),
  };
  const operationId = `op_${operationType}_test`;
  const stored = {
    info: create(OperationInfoSchema, { operationId, operationType }),
    request: create(CreateOperationRequestSchema, { operationId, operationType, metadata: { parameters } }),
    payloadHash: "",
    dispatched: true,
    owner: "server-1",
  };
  const log = pino({ level: "silent" });
  const executors = service.executors({ maxConcurrentOperations: 4, cancellationGraceMs: 60_000, log });
  executors.get(operationType)?.dispatch(stored, control, { origin: { via: [] }, again: false });
  return { cancellation, source: source.promise, outcome: outcome.promise };
}

/** Resolves when the work has written a metric record. */
async function firstRecord(source: OperationSource): Promise<void> {
  const { signal } = new AbortController();
  for (;;) {
    const pulled = await source.pull({ cursor: 0, metrics: true, maxStalenessMs: 0, signal });
    if (pulled.outcome === "observed" && pulled.records.length > 0) return;
    await source.waitForChange?.(signal);
  }
}
