import { describe, expect } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  changed,
  createWithRecords,
  endedOperation,
  epochMs,
  filter,
  idsOf,
  type OpenStore,
  operation,
  records,
  replacement,
  storeTest,
} from "./store-fixture.ts";

const tombstoneUntil = epochMs + 1_000_000;

/** What a store promises of expiry and deletion. */
export function describeRemoval(open: OpenStore): void {
  describe("expire", () => {
    storeTest(open, "removes what is due at exactly now, with its labels and metrics", async ({ store }) => {
      const labels = { team: "ml" };
      await createWithRecords(store, endedOperation("op_due", 100, { labels, requestId: "r" }), 3);
      await createWithRecords(store, endedOperation("op_later", 101, { labels }), 3);

      expect(await store.expire(epochMs + 99, 10, tombstoneUntil)).toEqual([]);
      expect(await store.expire(epochMs + 100, 10, tombstoneUntil)).toEqual(["op_due"]);

      expect(await store.get("op_due")).toBeUndefined();
      expect(await store.readMetrics("op_due", 0, 10)).toEqual([]);
      expect(await store.metricsLog("op_due")).toEqual({ cursor: 0, summary: new Uint8Array() });
      expect(idsOf(await store.list(filter({ labels: { team: "ml" } }), undefined, 10))).toEqual(["op_later"]);
      expect(await store.readMetrics("op_later", 0, 10)).toEqual(records(1, 3));
      expect(await store.create(operation("op_new", { requestId: "r" }))).toEqual({ created: true });
    });

    storeTest(open, "never removes what has no expires_at", async ({ store }) => {
      await store.create(operation("op_pending"));
      await store.create(operation("op_running", { status: OperationStatus.RUNNING }));
      expect(await store.expire(Number.MAX_SAFE_INTEGER, 10, tombstoneUntil)).toEqual([]);
      expect(await store.list(filter(), undefined, 10)).toHaveLength(2);
    });

    storeTest(open, "follows an expires_at that a replacement has set", async ({ store }) => {
      const running = operation("op_a", { status: OperationStatus.RUNNING });
      await store.create(running);
      const ended = changed(running, 2n, endedOperation("op_a", 50).info);
      await store.replace([replacement(ended, 1n, OperationStatus.RUNNING)]);
      expect(await store.expire(epochMs + 50, 10, tombstoneUntil)).toEqual(["op_a"]);
    });

    storeTest(open, "removes up to the limit, those due longest first", async ({ store }) => {
      for (const expiresAt of [3, 1, 2, 5, 4]) {
        await store.create(endedOperation(`op_${expiresAt}`, expiresAt));
      }
      const expire = async () => (await store.expire(epochMs + 10, 2, tombstoneUntil)).sort();
      expect(await expire()).toEqual(["op_1", "op_2"]);
      expect(await expire()).toEqual(["op_3", "op_4"]);
      expect(await expire()).toEqual(["op_5"]);
      expect(await expire()).toEqual([]);
    });

    storeTest(open, "leaves a tombstone that says when, and drops it when it is due", async ({ store }) => {
      await store.create(endedOperation("op_a", 100));
      expect(await store.expiredAt("op_a")).toBeUndefined();
      await store.expire(epochMs + 500, 10, tombstoneUntil);
      expect(await store.expiredAt("op_a")).toBe(epochMs + 100);
      await store.expire(tombstoneUntil - 1, 10, tombstoneUntil + 1_000);
      expect(await store.expiredAt("op_a")).toBe(epochMs + 100);
      await store.expire(tombstoneUntil, 10, tombstoneUntil + 1_000);
      expect(await store.expiredAt("op_a")).toBeUndefined();
    });

    storeTest(open, "an id that is used again can expire again", async ({ store }) => {
      await createWithRecords(store, endedOperation("op_a", 100), 3);
      await store.expire(epochMs + 100, 10, tombstoneUntil);
      expect(await store.readMetrics("op_a", 0, 10)).toEqual([]);
      await createWithRecords(store, endedOperation("op_a", 200), 1);
      expect(await store.readMetrics("op_a", 0, 10)).toEqual(records(1, 1));
      expect(await store.expire(epochMs + 200, 10, tombstoneUntil)).toEqual(["op_a"]);
      expect(await store.expiredAt("op_a")).toBe(epochMs + 200);
    });

    storeTest(open, "removes long logs completely", async ({ store, reopen }) => {
      await createWithRecords(store, endedOperation("op_a", 0), 25_000);
      await createWithRecords(store, endedOperation("op_b", 0), 10);
      expect((await store.expire(epochMs, 10, tombstoneUntil)).sort()).toEqual(["op_a", "op_b"]);
      const reopened = await reopen();
      await reopened.create(endedOperation("op_a", 0));
      expect(await reopened.readMetrics("op_a", 0, 10)).toEqual([]);
    });
  });

  describe("delete", () => {
    storeTest(open, "removes an operation with its labels and metrics, without a tombstone", async ({ store }) => {
      await createWithRecords(store, endedOperation("op_a", 0, { labels: { team: "ml" }, requestId: "r" }), 3);
      expect(await store.delete("op_a", 1n)).toBe(true);
      expect(await store.get("op_a")).toBeUndefined();
      expect(await store.expiredAt("op_a")).toBeUndefined();
      expect(await store.list(filter({ labels: { team: "ml" } }), undefined, 10)).toEqual([]);
      expect(await store.create(endedOperation("op_a", 0, { requestId: "r" }))).toEqual({ created: true });
      expect(await store.readMetrics("op_a", 0, 10)).toEqual([]);
      expect(await store.list(filter({ labels: { team: "ml" } }), undefined, 10)).toEqual([]);
    });

    storeTest(open, "leaves what has another revision, or is not there", async ({ store }) => {
      const stored = endedOperation("op_a", 0, { labels: { team: "ml" } });
      await createWithRecords(store, stored, 3);
      expect(await store.delete("op_a", 2n)).toBe(false);
      expect(await store.delete("op_x", 1n)).toBe(false);
      expect(await store.get("op_a")).toEqual(stored);
      expect(await store.readMetrics("op_a", 0, 10)).toEqual(records(1, 3));
    });

    storeTest(open, "leaves no tombstone of an earlier operation of the same id", async ({ store }) => {
      await store.create(endedOperation("op_a", 0));
      await store.expire(epochMs, 10, tombstoneUntil);
      await store.create(endedOperation("op_a", 10));
      await store.delete("op_a", 1n);
      expect(await store.expiredAt("op_a")).toBeUndefined();
    });
  });
}
