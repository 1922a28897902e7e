import { describe, expect } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { describeConditions } from "./condition-conformance.ts";
import { describeMetrics } from "./metrics-conformance.ts";
import { describeOwnership, describeSharing } from "./ownership-conformance.ts";
import { describeRemoval } from "./removal-conformance.ts";
import { describeSearch } from "./search-conformance.ts";
import {
  appending,
  at,
  changed,
  endedOperation,
  epochMs,
  filter,
  type OpenStore,
  operation,
  records,
  replacement,
  someOwner,
  storeTest,
  summary,
} from "./store-fixture.ts";
import { describeWriting } from "./writing-conformance.ts";

/**
 * Everything `OperationStore` promises, for any store: one suite that all of them pass. `shared` says that several
 * servers can share the store, so that it opens with `instances`.
 */
export function describeStoreConformance(name: string, open: OpenStore, { shared = false } = {}): void {
  describe(name, () => {
    describeWriting(open);
    describeMetrics(open);
    describeOwnership(open);
    if (shared) {
      describeSharing(open);
    }
    describeSearch(open);
    describeConditions(open);
    describeRemoval(open);

    describe("durability", () => {
      storeTest(open, "everything is there after reopening", async ({ store, reopen }) => {
        const running = operation("op_a", { labels: { team: "ml" }, requestId: "r" });
        await store.create(running);
        const next = {
          ...changed(running, 2n, { status: OperationStatus.RUNNING, startedAt: at(5) }),
          dispatched: true,
        };
        await store.replace([replacement(next, 1n)]);
        await store.appendMetrics(appending("op_a", records(1, 3), summary("three")));
        await store.appendMetrics(appending("op_a", records(4, 5), summary("five")));
        await store.create(endedOperation("op_b", 10));
        await store.expire(epochMs + 10, 10, epochMs + 1_000);

        const reopened = await reopen();
        expect(await reopened.get("op_a")).toEqual(next);
        expect(await reopened.list(filter({ labels: { team: "ml" } }), undefined, 10)).toEqual([
          { info: next.info, owner: someOwner },
        ]);
        expect(await reopened.changedByOthers(someOwner)).toEqual([]);
        expect(await reopened.metricsLog("op_a")).toEqual({ cursor: 5, summary: summary("five") });
        expect(await reopened.readMetrics("op_a", 0, 10)).toEqual(records(1, 5));
        expect(await reopened.get("op_b")).toBeUndefined();
        expect(await reopened.expiredAt("op_b")).toBe(epochMs + 10);
        expect(await reopened.create(operation("op_c", { requestId: "r" }))).toMatchObject({ created: false });
      });
    });

    describe("close", () => {
      storeTest(open, "may be called twice, and ends what is under way first", async ({ store }) => {
        const creating = store.create(operation("op_a"));
        const closing = store.close();
        await store.close();
        await closing;
        expect(await creating).toEqual({ created: true });
      });

      storeTest(open, "makes later calls reject as unavailable", async ({ store }) => {
        const stored = operation("op_a");
        await store.create(stored);
        await store.close();
        const calls = {
          create: () => store.create(operation("op_b")),
          get: () => store.get("op_a"),
          getMany: () => store.getMany(["op_a"]),
          claim: () => store.claim({ owner: "server-2", operationTypes: [], otherTypes: [] }, 1),
          release: () => store.release("op_a", someOwner),
          changedByOthers: () => store.changedByOthers(someOwner),
          replace: () => store.replace([replacement(changed(stored, 2n), 1n)]),
          list: () => store.list(filter(), undefined, 1),
          count: () => store.count(filter()),
          appendMetrics: () => store.appendMetrics(appending("op_a", records(1, 1), summary(""))),
          metricsLog: () => store.metricsLog("op_a"),
          readMetrics: () => store.readMetrics("op_a", 0, 1),
          expire: () => store.expire(0, 1, 0),
          delete: () => store.delete("op_a", 1n),
          expiredAt: () => store.expiredAt("op_a"),
        };
        for (const [method, call] of Object.entries(calls)) {
          await expect(call(), method).rejects.toMatchObject({ name: "CallError", reason: "STORE_UNAVAILABLE" });
        }
      });
    });
  });
}
