import type { JsonObject } from "@bufbuild/protobuf";
import { CancellationError, type CancellationToken } from "../cancellation/cancellation-token.ts";
import { currentOperation } from "./current-operation.ts";
import type { OperationContext, OperationFunc } from "./operation-context.ts";

/** How a run of the work ended; plain enough to be sent from a worker thread. */
export type RunOutcome =
  | { readonly ended: "returned"; readonly summary?: JsonObject }
  | { readonly ended: "cancelled" }
  | { readonly ended: "threw"; readonly message: string; readonly stack?: string };

/**
 * Runs the work in its own context and says how it ended. Work that returns after it has seen that it was cancelled,
 * or throws because of it, was cancelled; work that never looked has finished first.
 */
export async function runWork(operationFunc: OperationFunc, context: OperationContext): Promise<RunOutcome> {
  const { operationId, token, progress } = context;
  try {
    const summary = await currentOperation.run({ token, progress }, () => operationFunc(operationId, context));
    if (token.wasObserved) {
      return { ended: "cancelled" };
    }
    return { ended: "returned", ...(summary && { summary }) };
  } catch (error) {
    return isCancellation(error, token) ? { ended: "cancelled" } : thrown(error);
  }
}

/** The outcome of work that threw. */
export function thrown(error: unknown): RunOutcome {
  if (error instanceof Error) {
    return { ended: "threw", message: error.message || error.name, ...(error.stack && { stack: error.stack }) };
  }
  return { ended: "threw", message: String(error) };
}

/** Whether work threw because of its cancellation: our own error, or what Node.js makes of an aborted signal. */
function isCancellation(error: unknown, token: CancellationToken): boolean {
  if (error instanceof CancellationError) {
    return true;
  }
  return error instanceof Error && error.name === "AbortError" && token.isCancelled();
}
