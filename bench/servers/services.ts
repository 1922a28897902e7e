import { type OperationContext, type OperationDefinition, ServiceOrchestrator } from "longhaul";
import { answerTo } from "./control.ts";

// What the servers of the suite run: operations that stay as they are until the suite asks for a change.

const running = new Set<OperationContext>();
let changes = 0;

/** Runs until it is cancelled. */
async function hold(_operationId: string, context: OperationContext): Promise<undefined> {
  running.add(context);
  try {
    report(context);
    await context.token.waitForCancellation();
    context.token.throwIfCancelled();
  } finally {
    running.delete(context);
  }
}

function report({ updateProgress }: OperationContext): void {
  updateProgress({
    percentage: 10 + changes / 100,
    currentStep: "Training epoch 12/100",
    stepsCompleted: 12 + changes,
    stepsTotal: 1_000_000,
    itemsProcessed: 48_000,
    itemsTotal: 400_000,
    context: { epoch: 12, loss: 0.0625, phase: "train" },
  });
}

/** Types that run until they are cancelled. On a gateway, `training` is routed to its host and `data_load` is not. */
class HoldingService extends ServiceOrchestrator {
  override readonly operations = {
    training: { operationFunc: hold },
    data_load: { operationFunc: hold },
  } satisfies Record<string, OperationDefinition>;
}

/** What `--services` of this module serves. */
export const holdingService = new HoldingService();

/** Changes the progress of all that runs. Answers when, in milliseconds since the epoch. */
answerTo("change", () => {
  changes++;
  const changedAtMs = performance.timeOrigin + performance.now();
  for (const context of running) {
    report(context);
  }
  return changedAtMs;
});
