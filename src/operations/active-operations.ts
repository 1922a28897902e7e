import { create } from "@bufbuild/protobuf";
import { type OperationFilter, OperationFilterSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { KnownOperation } from "./known-operation.ts";
import { activeStatuses } from "./life-cycle.ts";
import type { OperationCondition } from "./operation-condition.ts";
import type { OperationRegistry } from "./operation-registry.ts";
import { type OperationStore, type PageKey, pageKeyOf } from "./operation-store.ts";

/** Operations answered at the same time, so that to read and decode them holds up nothing else for long. */
const batch = 250;

/** The operations that match and have not ended, whoever owns them, newest first and in batches. */
export async function* activeOperations(
  { store, registry }: { readonly store: OperationStore; readonly registry: OperationRegistry },
  filter: OperationFilter,
  condition?: OperationCondition,
): AsyncGenerator<KnownOperation[]> {
  const wanted = filter.statuses.length > 0 ? filter.statuses : activeStatuses;
  const statuses = wanted.filter((status) => activeStatuses.includes(status));
  const active = create(OperationFilterSchema, { ...filter, statuses });
  let after: PageKey | undefined;
  // Without an active status there is nothing to match; an empty list would mean all statuses.
  let more = statuses.length > 0;
  while (more) {
    const page = await store.list(active, after, batch, condition);
    const known = await Promise.all(page.map((listed) => registry.listed(listed)));
    yield known.filter((one) => one !== undefined);
    const last = page.at(-1);
    after = last && pageKeyOf(last.info);
    more = page.length === batch;
  }
}
