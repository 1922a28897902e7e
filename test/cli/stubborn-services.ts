import { setTimeout as sleep } from "node:timers/promises";
import { ServiceOrchestrator } from "../../src/orchestrator/service-orchestrator.ts";

/** Work that does not care for its cancellation. */
class StubbornServices extends ServiceOrchestrator {
  override readonly operations = {
    stubborn: {
      operationFunc: async () => {
        await sleep(60_000);
        return undefined;
      },
    },
  };
}

export const stubbornServices: ServiceOrchestrator = new StubbornServices();
