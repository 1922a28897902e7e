import { setTimeout } from "node:timers/promises";
import { afterEach, describe, expect, vi } from "vitest";
import type { Instance } from "../../src/replicas/instance-store.ts";
import {
  countWaiting,
  describeOnEveryPostgres,
  holdTransaction,
  type OpenedPostgresStore,
  openEmptyStore,
  runSql,
} from "./postgres-databases.ts";
import { storeTest } from "./store-fixture.ts";

const long = 60_000;

function instance(instanceId: string, parts: Partial<Instance> = {}): Instance {
  return { instanceId, url: `http://${instanceId}:50051`, operationTypes: ["training"], ...parts };
}

/** How long a lease runs still, in milliseconds, by the database's clock. */
async function leaseLeft(url: string, instanceId: string): Promise<number> {
  const sql = `select lease_until - extract(epoch from clock_timestamp()) * 1000 as left
    from instances where instance_id = '${instanceId}'`;
  const [row] = await runSql(url, sql);
  return Number(row?.["left"]);
}

describeOnEveryPostgres("the instances that share a store", (server) => {
  const open = () => openEmptyStore(server());
  const instanceTest = (name: string, body: (opened: OpenedPostgresStore) => Promise<void>) =>
    storeTest(open, name, body);

  describe("entering", () => {
    instanceTest("puts an instance on the roll, as it is", async ({ instances }) => {
      const [one, other] = [
        instance("one", { operationTypes: [] }),
        instance("other", { operationTypes: ["a", 'b"'] }),
      ];
      await instances.enter(one, long);
      await instances.enter(other, long);
      const roll = await instances.renew("one", long);
      expect(roll.held).toBe(true);
      expect(roll.instances).toHaveLength(2);
      expect(roll.instances).toEqual(expect.arrayContaining([one, other]));
    });

    instanceTest("may be repeated, and the last one counts", async ({ url, instances }) => {
      await instances.enter(instance("one"), 10);
      const moved = instance("one", { url: "http://10.0.0.8:50051", operationTypes: ["tuning"] });
      await instances.enter(moved, long);
      expect((await instances.renew("one", long)).instances).toEqual([moved]);
      expect(await leaseLeft(url, "one")).toBeGreaterThan(long - 10_000);
    });
  });

  describe("renewing", () => {
    instanceTest("lets the lease run anew", async ({ url, instances }) => {
      await instances.enter(instance("one"), 1_000);
      await instances.enter(instance("other"), 1_000);
      await instances.renew("one", long);
      expect(await leaseLeft(url, "one")).toBeGreaterThan(long - 10_000);
      expect(await leaseLeft(url, "one")).toBeLessThanOrEqual(long);
      expect(await leaseLeft(url, "other")).toBeLessThanOrEqual(1_000);
    });

    instanceTest("lists others whose leases have run out, too", async ({ instances }) => {
      await instances.enter(instance("one"), long);
      await instances.enter(instance("late"), -long);
      expect((await instances.renew("one", long)).instances).toHaveLength(2);
    });

    instanceTest("of one that is not entered says so, and enters nobody", async ({ instances }) => {
      expect(await instances.renew("one", long)).toMatchObject({ held: false, instances: [] });
      await instances.enter(instance("other"), long);
      expect(await instances.renew("one", long)).toMatchObject({ held: false, instances: [instance("other")] });
    });

    instanceTest("answers the database's clock, whatever this server's", async ({ url, instances }) => {
      const clock = async () =>
        Number((await runSql(url, "select extract(epoch from clock_timestamp()) as now"))[0]?.["now"]);
      await instances.enter(instance("one"), long);
      vi.useFakeTimers({ toFake: ["Date"], now: 0 });
      const before = await clock();
      const rolls = [await instances.renew("one", long), await instances.renew("nobody", long)];
      const after = await clock();
      for (const { nowMs } of rolls) {
        expect(Number.isInteger(nowMs)).toBe(true);
        expect(nowMs).toBeGreaterThanOrEqual(Math.floor(before * 1_000));
        expect(nowMs).toBeLessThanOrEqual(after * 1_000);
      }
      expect(await leaseLeft(url, "one")).toBeGreaterThan(long - 10_000);
    });
    afterEach(() => {
      vi.useRealTimers();
    });
  });

  describe("striking off", () => {
    instanceTest("takes those whose leases ran out longer ago than the margin", async ({ instances }) => {
      await instances.enter(instance("held"), long);
      await instances.enter(instance("late"), -5_000);
      await instances.enter(instance("gone"), -20_000);
      expect(await instances.strikeOff(10_000)).toEqual(["gone"]);
      expect(await instances.strikeOff(10_000)).toEqual([]);
      expect(await instances.renew("gone", long)).toMatchObject({ held: false });
      expect(await instances.renew("late", long)).toMatchObject({ held: true });
      expect(await instances.strikeOff(0)).toEqual([]);
    });

    instanceTest("goes by the clock", async ({ instances }) => {
      await instances.enter(instance("one"), 100);
      expect(await instances.strikeOff(0)).toEqual([]);
      await setTimeout(150);
      expect(await instances.strikeOff(10_000)).toEqual([]);
      expect(await instances.strikeOff(0)).toEqual(["one"]);
    });

    instanceTest("is done by one of those who do it at once", async ({ instances }) => {
      const ids = Array.from({ length: 20 }, (_, index) => `i${index}`);
      await Promise.all(ids.map((id) => instances.enter(instance(id), -long)));
      const struck = await Promise.all(Array.from({ length: 8 }, () => instances.strikeOff(0)));
      expect(struck.flat().sort()).toEqual(ids.sort());
    });

    instanceTest("leaves one whose renewal is under way", async ({ url, instances }) => {
      await instances.enter(instance("late"), -long);
      await using renewal = await holdTransaction(url, "update instances set lease_until = lease_until * 2");
      const striking = instances.strikeOff(0);
      await expect.poll(() => countWaiting(url)).toBe(1);
      await renewal.commit();
      expect(await striking).toEqual([]);
    });

    instanceTest("under way is waited for by a renewal, which is then refused", async ({ url, instances }) => {
      await instances.enter(instance("late"), -long);
      await instances.enter(instance("other"), long);
      await using striking = await holdTransaction(url, "delete from instances where instance_id = 'late'");
      const renewal = instances.renew("late", long);
      await expect.poll(() => countWaiting(url)).toBe(1);
      await striking.commit();
      expect(await renewal).toMatchObject({ held: false, instances: [instance("other")] });
    });

    instanceTest("and renewing at once agree on who is left", async ({ instances }) => {
      for (let round = 0; round < 40; round++) {
        await instances.enter(instance(`i${round}`), -long);
        const [roll, struck] = await Promise.all([instances.renew(`i${round}`, long), instances.strikeOff(0)]);
        expect(struck).toEqual(roll.held ? [] : [`i${round}`]);
        expect(roll.instances.some(({ instanceId }) => instanceId === `i${round}`)).toBe(roll.held);
      }
    });
  });

  describe("leaving", () => {
    instanceTest("takes one off the roll, and does not mind when it is off already", async ({ instances }) => {
      await instances.enter(instance("one"), long);
      await instances.enter(instance("other"), long);
      await instances.leave("one");
      await instances.leave("one");
      expect(await instances.renew("one", long)).toMatchObject({ held: false, instances: [instance("other")] });
    });
  });

  instanceTest("cannot be reached any more when the store is closed", async ({ store, instances }) => {
    await store.close();
    const calls = {
      enter: () => instances.enter(instance("one"), long),
      renew: () => instances.renew("one", long),
      strikeOff: () => instances.strikeOff(0),
      leave: () => instances.leave("one"),
    };
    for (const [method, call] of Object.entries(calls)) {
      await expect(call(), method).rejects.toMatchObject({ name: "CallError", reason: "STORE_UNAVAILABLE" });
    }
  });
});
