import type { OperationContext } from "../../src/orchestrator/operation-context.ts";

/** Writes `parameters.records` epochs as fast as it can, without ever yielding to the event loop. */
export function operationFunc(_operationId: string, { parameters, record }: OperationContext) {
  const records = Number(parameters["records"]);
  for (let epoch = 1; epoch <= records; epoch++) {
    record("epoch", { epoch, trainLoss: 1 / epoch });
  }
  return { records };
}
