import type { OperationDefinition } from "../../src/orchestrator/operation-context.ts";
import { ServiceOrchestrator } from "../../src/orchestrator/service-orchestrator.ts";

/** Operations that end when a test wants them to. */
class FixtureService extends ServiceOrchestrator {
  readonly operations: Record<string, OperationDefinition> = {
    /** Completes at once. */
    quick: { operationFunc: async () => ({ answer: 42 }) },
    /** Runs at 30 % until it is cancelled. */
    patient: {
      operationFunc: async (_, { token, updateProgress }) => {
        updateProgress({ percentage: 30, currentStep: "waiting" });
        await token.waitForCancellation();
        return undefined;
      },
    },
    /** Follows files in the directory that its parameters name; see the module. */
    threaded: { workerModule: new URL("./file-led-worker.ts", import.meta.url) },
  };
}

export const fixtureService: ServiceOrchestrator = new FixtureService();
