import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { threadId } from "node:worker_threads";
import type { OperationFunc } from "../../src/orchestrator/operation-context.ts";

/**
 * Work that a test leads through files in `parameters.directory`: it runs until it is cancelled or "finish" appears.
 * Cancelled, it writes its thread's id and the reason to "cancelled" and stops only when "release" appears. With
 * `parameters.ignoresToken` it never looks.
 */
export const operationFunc: OperationFunc = async (_, { token, parameters, updateProgress }) => {
  const directory = String(parameters["directory"]);
  const appeared = (name: string) => existsSync(join(directory, name));
  updateProgress({ percentage: 10, currentStep: "working" });
  while (!appeared("finish")) {
    if (!parameters["ignoresToken"] && token.isCancelled()) {
      writeFileSync(join(directory, "cancelled"), JSON.stringify({ threadId, reason: token.reason }));
      while (!appeared("release")) {
        await delay(10);
      }
      token.throwIfCancelled();
    }
    await delay(10);
  }
  return { finished: true };
};
