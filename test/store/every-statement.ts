import type { OperationStore } from "../../src/operations/operation-store.ts";
import {
  appending,
  changed,
  createWithRecords,
  endedOperation,
  epochMs,
  filter,
  operation,
  records,
  replacement,
  someOwner,
  summary,
} from "./store-fixture.ts";

/** Makes an empty store run every statement it has, but for most of those of lists. */
export async function runEveryStatement(store: OperationStore): Promise<void> {
  const first = operation("op_a", { labels: { team: "ml" }, requestId: "r" });
  await store.create(first);
  await store.create(first);
  await store.get("op_a");
  await store.getMany(["op_a", "op_b"]);
  await store.claim({ owner: "server-2", operationTypes: ["training"], otherTypes: ["data_load"] }, 250);
  await store.claim({ owner: someOwner, operationTypes: [], otherTypes: [] }, 250);
  await store.changedByOthers(someOwner);
  await store.release("op_a", someOwner);
  await store.replace([replacement(changed(first, 2n), 1n)]);
  await store.appendMetrics(appending("op_a", records(1, 3), summary("three")));
  await store.metricsLog("op_a");
  await store.readMetrics("op_a", 1, 10);
  await createWithRecords(store, endedOperation("op_b", 0), 3);
  await Promise.all(["op_a", "op_b"].map((id) => store.replace([replacement(changed(operation(id), 2n), 1n)])));
  await store.expire(epochMs, 250, epochMs);
  await store.delete("op_a", 2n);
  await store.expiredAt("op_b");
  await store.count(filter());
  await store.count(filter({ labels: { team: "ml" } }));
}
