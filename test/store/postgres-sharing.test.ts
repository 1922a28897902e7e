import { describe, expect, test } from "vitest";
import type { OperationStore } from "../../src/operations/operation-store.ts";
import { openPostgresStore } from "../../src/store/postgres-store.ts";
import { countWaiting, describeOnPostgres, holdTransaction, openEmptyStore } from "./postgres-databases.ts";
import {
  appending,
  changed,
  createWithRecords,
  endedOperation,
  epochMs,
  idsOf,
  operation,
  records,
  replacement,
  someOwner,
  storeTest,
  summary,
} from "./store-fixture.ts";

const claim = { owner: "server-2", operationTypes: [], otherTypes: [] };

describeOnPostgres("servers that share a PostgreSQL database", (server) => {
  const open = () => openEmptyStore(server());

  /** A test with two stores over one database, empty at first. */
  function sharingTest(name: string, body: (one: OperationStore, other: OperationStore) => Promise<void>): void {
    test(name, async () => {
      const { url, store, dispose } = await open();
      const { store: other } = await openPostgresStore(url);
      try {
        await body(store, other);
      } finally {
        await other.close();
        await dispose();
      }
    });
  }

  describe("at once", () => {
    sharingTest("create one operation for one request_id", async (one, other) => {
      const outcomes = await Promise.all(
        Array.from({ length: 40 }, (_, index) =>
          (index % 2 === 0 ? one : other).create(operation(`op_${index}`, { requestId: "r", labels: { team: "ml" } })),
        ),
      );
      const winners = outcomes.flatMap(({ created }, index) => (created ? [`op_${index}`] : []));
      expect(winners).toHaveLength(1);
      for (const outcome of outcomes) {
        const holder = outcome.created ? winners[0] : outcome.existing.info.operationId;
        expect(holder).toBe(winners[0]);
      }
    });

    sharingTest("create one operation for one id", async (one, other) => {
      const creates = Array.from({ length: 40 }, (_, index) =>
        (index % 2 === 0 ? one : other).create(operation("op_a", { requestId: `${index}`, labels: { team: "ml" } })),
      );
      const outcomes = await Promise.all(creates);
      expect(outcomes.filter(({ created }) => created)).toHaveLength(1);
      expect(outcomes.filter((outcome) => !outcome.created && outcome.conflict === "operation_id")).toHaveLength(39);
    });

    sharingTest("replace an operation once for one revision", async (one, other) => {
      const ids = Array.from({ length: 50 }, (_, index) => `op_${index}`);
      const stored = ids.map((id) => operation(id));
      await Promise.all(stored.map((first) => one.create(first)));
      const replaceAll = (store: OperationStore, revision: bigint) =>
        Promise.all(stored.map((first) => store.replace([replacement(changed(first, revision), 1n)])));
      const [ones, others] = await Promise.all([replaceAll(one, 2n), replaceAll(other, 3n)]);
      for (const [index, id] of ids.entries()) {
        expect([ones[index]?.size, others[index]?.size].sort(), id).toEqual([0, 1]);
        expect((await one.get(id))?.info.revision, id).toBe(ones[index]?.size === 1 ? 2n : 3n);
      }
    });

    sharingTest("replace operations again and again, each time on top of what is stored", async (one, other) => {
      const ids = Array.from({ length: 20 }, (_, index) => `op_${index}`);
      await Promise.all(ids.map((id) => one.create(operation(id))));
      const countUp = async (store: OperationStore, id: string) => {
        for (let won = 0; won < 10; ) {
          const revision = (await store.get(id))?.info.revision ?? 0n;
          won += (await store.replace([replacement(changed(operation(id), revision + 1n), revision)])).size;
        }
      };
      await Promise.all([one, other].flatMap((store) => [...ids, ...ids].map((id) => countUp(store, id))));
      for (const stored of await one.getMany(ids)) {
        expect(stored.info.revision, stored.info.operationId).toBe(41n);
      }
    });

    sharingTest("replace many in opposite orders", async (one, other) => {
      const stored = Array.from({ length: 20 }, (_, index) => operation(`op_${index}`));
      await Promise.all(stored.map((first) => one.create(first)));
      for (let round = 1n; round <= 10n; round++) {
        const changes = stored.map((first) => replacement(changed(first, round + 1n), round));
        const sizes = await Promise.all([one.replace(changes), other.replace(changes.toReversed())]);
        expect(sizes.map(({ size }) => size).sort((a, b) => a - b)).toEqual([0, 20]);
      }
    });

    sharingTest("expire each operation once, whole", async (one, other) => {
      for (let index = 0; index < 60; index++) {
        await createWithRecords(one, endedOperation(`op_${index}`, index, { labels: { team: "ml" } }), 30);
      }
      const expired: string[] = [];
      while (expired.length < 60) {
        const parts = await Promise.all(
          [one, other, one, other].map((store) => store.expire(epochMs + 100, 7, epochMs + 1_000)),
        );
        expired.push(...parts.flat());
      }
      expect(new Set(expired).size).toBe(60);
      expect(await other.readMetrics("op_0", 0, 10)).toEqual([]);
      expect(await other.expiredAt("op_7")).toBe(epochMs + 7);
    });
  });

  describe("a claim and the old owner", () => {
    storeTest(open, "an append under way keeps the operation from being claimed", async ({ store, url }) => {
      await store.create(operation("op_a"));
      await store.create(operation("op_b"));
      await store.appendMetrics(appending("op_a", records(1, 1), summary("one")));
      // The append has seen that it is the owner's, and gets no further than the end of the log.
      await using other = await holdTransaction(url, "select 1 from metric_logs for update");
      const append = store.appendMetrics(appending("op_a", records(2, 3), summary("three")));
      await expect.poll(() => countWaiting(url)).toBe(1);
      expect(idsOf(await store.claim(claim, 10))).toEqual(["op_b"]);
      await other.commit();
      expect(await append).toBe(true);
      expect(idsOf(await store.claim(claim, 10))).toEqual(["op_a"]);
      expect(await store.metricsLog("op_a")).toEqual({ cursor: 3, summary: summary("three") });
    });

    storeTest(open, "an append that meets a claim under way is refused once that is done", async ({ store, url }) => {
      await store.create(operation("op_a"));
      await using other = await holdTransaction(url, `update operations set owner = '${claim.owner}'`);
      const append = store.appendMetrics(appending("op_a", records(1, 3), summary("three")));
      const replace = store.replace([replacement(changed(operation("op_a"), 2n), 1n)]);
      await expect.poll(() => countWaiting(url)).toBe(2);
      await other.commit();
      expect(await append).toBe(false);
      expect(await replace).toEqual(new Set());
      expect(await store.metricsLog("op_a")).toEqual({ cursor: 0, summary: new Uint8Array() });
      expect(await store.get("op_a")).toMatchObject({ owner: claim.owner, info: { revision: 1n } });
    });

    storeTest(open, "an append that meets a removal under way is refused once that is done", async ({ store, url }) => {
      await store.create(operation("op_a"));
      await using other = await holdTransaction(url, "delete from operations");
      const append = store.appendMetrics(appending("op_a", records(1, 3), summary("three")));
      await expect.poll(() => countWaiting(url)).toBe(1);
      await other.commit();
      expect(await append).toBe(false);
    });

    sharingTest("of appends and claims at random moments, none comes late", async (one, other) => {
      const ids = Array.from({ length: 60 }, (_, index) => `op_${index}`);
      await Promise.all(ids.map((id) => one.create(operation(id))));
      const acknowledged = new Map<string, number>();
      const appendUntilRefused = async (id: string) => {
        for (let sequence = 1; ; sequence++) {
          if (!(await one.appendMetrics(appending(id, records(sequence, sequence), summary(`${sequence}`))))) {
            return;
          }
          acknowledged.set(id, sequence);
        }
      };
      const appends = ids.map(appendUntilRefused);
      const logs = new Map<string, number>();
      while (logs.size < ids.length) {
        for (const id of idsOf(await other.claim(claim, 5))) {
          logs.set(id, (await other.metricsLog(id)).cursor);
        }
      }
      await Promise.all(appends);
      for (const id of ids) {
        expect(acknowledged.get(id) ?? 0, id).toBe(logs.get(id));
        expect((await other.readMetrics(id, 0, 10_000)).length, id).toBe(logs.get(id));
      }
      expect(await one.changedByOthers(someOwner)).toEqual([]);
    });
  });
});
