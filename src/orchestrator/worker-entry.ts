import { parentPort, workerData } from "node:worker_threads";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { CreateOperationRequestSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { CancellationController } from "../cancellation/cancellation-token.ts";
import { SharedProgressWriter } from "../progress/shared-progress-writer.ts";
import { createContext } from "./create-context.ts";
import type { OperationFunc } from "./operation-context.ts";
import { type RunOutcome, runWork, thrown } from "./run-outcome.ts";
import type { WorkerEnd, WorkerStart } from "./worker-protocol.ts";

/** The first module of every worker thread: runs one operation and says how it ended. */
async function main(): Promise<void> {
  const { moduleUrl, request, attempt, totalSteps, memory } = workerData as WorkerStart;
  const writer = new SharedProgressWriter(memory);
  // Work that only waits, for its cancellation above all, has nothing else that keeps the thread alive.
  parentPort?.ref();
  const { token } = new CancellationController({
    probe: () => writer.cancellationReason(),
    whenProbed: () => writer.whenCancelled(),
  });
  let result: Any | undefined;
  const work = async (): Promise<RunOutcome> => {
    const context = createContext({
      request: fromBinary(CreateOperationRequestSchema, request),
      attempt,
      totalSteps,
      token,
      writer,
      setResult: (value) => {
        result = value;
      },
    });
    return runWork(await loadWork(moduleUrl), context);
  };
  const outcome = await work().catch(thrown);
  const end: WorkerEnd = { outcome, ...(result && { result: toBinary(AnySchema, result) }) };
  parentPort?.postMessage(end);
  parentPort?.unref();
}

async function loadWork(moduleUrl: string): Promise<OperationFunc> {
  const module: Record<string, unknown> = await import(moduleUrl);
  const { operationFunc } = module as { operationFunc?: unknown };
  if (typeof operationFunc !== "function") {
    throw new Error(`worker module ${moduleUrl} does not export a function named "operationFunc"`);
  }
  return operationFunc as OperationFunc;
}

await main();
