import { create } from "@bufbuild/protobuf";
import type { Logger } from "pino";
import { type OperationFilter, OperationFilterSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { type CancelContext, cancelTracked } from "./cancel-operation.ts";
import { activeStatuses } from "./life-cycle.ts";
import type { TrackedOperation } from "./operation-registry.ts";
import { type OperationStore, type PageKey, pageKeyOf } from "./operation-store.ts";

/** Operations cancelled at the same time. */
const batch = 1_000;

/** Asks every operation that matches to stop, and answers which, newest first. Terminal ones are passed over. */
export async function cancelMatching(
  context: CancelContext,
  store: OperationStore,
  filter: OperationFilter,
  reason: string,
): Promise<string[]> {
  const wanted = filter.statuses.length > 0 ? filter.statuses : activeStatuses;
  const statuses = wanted.filter((status) => activeStatuses.includes(status));
  const active = create(OperationFilterSchema, { ...filter, statuses });
  const cancelled: string[] = [];
  let after: PageKey | undefined;
  // Without an active status there is nothing to match; an empty list would mean all statuses.
  let more = statuses.length > 0;
  while (more) {
    const page = await store.list(active, after, batch);
    const tracked = page.flatMap(({ operationId }) => context.registry.active(operationId) ?? []);
    cancelled.push(...tracked.map(({ operation }) => operation.operationId));
    await Promise.all(tracked.map((one) => cancelTracked(context, one, reason, false)));
    const last = page.at(-1);
    after = last && pageKeyOf(last);
    more = page.length === batch;
  }
  return cancelled;
}

/** Asks operations to stop and logs what could not be stored; for cancellations that nobody waits for. */
export async function cancelEach(
  context: CancelContext,
  operations: readonly TrackedOperation[],
  reason: string,
  log: Logger,
): Promise<void> {
  const results = await Promise.allSettled(operations.map((one) => cancelTracked(context, one, reason, false)));
  for (const result of results) {
    if (result.status === "rejected") {
      log.error({ err: result.reason }, "a cancellation could not be stored");
    }
  }
}
