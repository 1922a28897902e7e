import type { OperationExecutor } from "./operation-executor.ts";

/**
 * The executor of operations that their creator runs itself, in this process: with startOperation, updateProgress and
 * completeOperation or failOperation of the OperationsService.
 */
export const callerRuns: OperationExecutor = {
  host: "",
  dispatch: () => {},
  withdraw: () => true,
  recover: () => ({ outcome: "lost" }),
};
