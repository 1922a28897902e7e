import type { Logger } from "pino";
import type { OperationFilter } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { activeOperations } from "./active-operations.ts";
import { type CancelContext, cancelKnown } from "./cancel-operation.ts";
import { infoOf, type OwnOperation } from "./known-operation.ts";
import type { OperationCondition } from "./operation-condition.ts";

/** Asks every operation that matches to stop, and answers which, newest first. Terminal ones are passed over. */
export async function cancelMatching(
  context: CancelContext,
  filter: OperationFilter,
  reason: string,
  condition?: OperationCondition,
): Promise<string[]> {
  const cancelled: string[] = [];
  for await (const operations of activeOperations(context, filter, condition)) {
    cancelled.push(...operations.map((one) => infoOf(one).operationId));
    await Promise.all(operations.map((one) => cancelKnown(context, one, reason, false)));
  }
  return cancelled;
}

/** Asks operations to stop and logs what could not be stored; for cancellations that nobody waits for. */
export async function cancelEach(
  context: CancelContext,
  operations: readonly OwnOperation[],
  reason: string,
  log: Logger,
): Promise<void> {
  const results = await Promise.allSettled(operations.map((one) => cancelKnown(context, one, reason, false)));
  for (const result of results) {
    if (result.status === "rejected") {
      log.error({ err: result.reason }, "a cancellation could not be stored");
    }
  }
}
