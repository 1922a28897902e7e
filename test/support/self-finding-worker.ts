import { setImmediate as nextTurn } from "node:timers/promises";
import { currentOperation } from "../../src/orchestrator/current-operation.ts";
import type { OperationFunc } from "../../src/orchestrator/operation-context.ts";

/** Work that finds its operation through the asynchronous context: reports a step, and one more once it is cancelled. */
export const operationFunc: OperationFunc = async (_, { parameters }) => {
  await nextTurn();
  await deeper(Number(parameters["step"]));
  return undefined;
};

async function deeper(step: number): Promise<void> {
  await nextTurn();
  const operation = currentOperation.getStore();
  operation?.progress?.updateProgress({ step, message: `step ${step}` });
  const reason = await operation?.token?.waitForCancellation();
  operation?.progress?.updateProgress({ step: step + 1, message: `cancelled: ${reason}` });
}
