import { setTimeout } from "node:timers/promises";
import { type OperationContext, ServiceOrchestrator } from "longhaul";

class GreetingService extends ServiceOrchestrator {
  override readonly operations = {
    greeting: { operationFunc: greet, totalSteps: 10 },
  };
}

async function greet(_operationId: string, { parameters, progress, token }: OperationContext) {
  const names = Array.isArray(parameters["names"]) ? parameters["names"] : ["world"];
  for (let step = 1; step <= 10; step++) {
    await setTimeout(200, undefined, { signal: token.signal });
    progress.updateProgress({ step, message: `Greeting ${names.join(", ")}` });
  }
  return { greeting: `Hello, ${names.join(" and ")}!` };
}

export const greetingService = new GreetingService();
