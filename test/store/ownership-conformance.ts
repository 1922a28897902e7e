import { describe, expect } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { Claim, OperationStore } from "../../src/operations/operation-store.ts";
import {
  appending,
  at,
  changed,
  createWithRecords,
  endedOperation,
  idsOf,
  type OpenStore,
  operation,
  records,
  replacement,
  someOwner,
  storeTest,
  summary,
} from "./store-fixture.ts";

/** A server that takes over. */
const claimant = "server-2";
const batch = 100;

/** A claim of a server that alone serves all there is. */
function claimOf(owner: string, types: Partial<Claim> = {}): Claim {
  return { owner, operationTypes: [], otherTypes: [], ...types };
}

async function claimedIds(store: OperationStore, types: Partial<Claim> = {}): Promise<string[]> {
  return idsOf(await store.claim(claimOf(claimant, types), batch));
}

/** What a store promises of owners, as far as no instance is entered. `describeSharing` has the rest. */
export function describeOwnership(open: OpenStore): void {
  describe("claim", () => {
    storeTest(open, "gives operations of owners that are gone away, the oldest first", async ({ store }) => {
      const newest = operation("op_a", { createdAt: at(9), owner: "server-3", labels: { team: "ml" } });
      const oldest = operation("op_c", { createdAt: at(1), dispatched: true });
      const others = ["op_b", "op_Z", "op_9"].map((id) => operation(id, { createdAt: at(5) }));
      for (const stored of [newest, ...others, oldest]) {
        await store.create(stored);
      }
      const claimed = await store.claim(claimOf(claimant), batch);
      const wanted = [oldest, ...others.toReversed(), newest].map((stored) => ({ ...stored, owner: claimant }));
      expect(claimed).toEqual(wanted);
      expect(await store.get("op_c")).toEqual(wanted[0]);
      expect(await claimedIds(store)).toEqual([]);
    });

    storeTest(open, "gives away up to the limit", async ({ store }) => {
      for (const index of [3, 1, 5, 2, 4]) {
        await store.create(operation(`op_${index}`, { createdAt: at(index) }));
      }
      const claim = async () => idsOf(await store.claim(claimOf(claimant), 2));
      expect(await claim()).toEqual(["op_1", "op_2"]);
      expect(await claim()).toEqual(["op_3", "op_4"]);
      expect(await claim()).toEqual(["op_5"]);
      expect(await claim()).toEqual([]);
    });

    storeTest(open, "leaves what is the claimant's already, and what has no owner", async ({ store }) => {
      await store.create(operation("op_own", { owner: claimant }));
      await store.create(operation("op_none", { owner: "" }));
      await store.create(endedOperation("op_ended", 10, { owner: "" }));
      expect(await claimedIds(store)).toEqual([]);
      expect(await store.get("op_none")).toMatchObject({ owner: "" });
    });

    storeTest(open, "gives away what has ended and still has an owner", async ({ store }) => {
      const ended = endedOperation("op_a", 10);
      await store.create(ended);
      expect(await store.claim(claimOf(claimant), batch)).toEqual([{ ...ended, owner: claimant }]);
    });

    storeTest(open, "takes the claimant's types and those of nobody, and leaves those of others", async ({ store }) => {
      const types = ["training", "data_load", "backtesting", "tuning"];
      const reset = async () => {
        for (const type of types) {
          await store.delete(type, 1n);
          await store.create(operation(type, { operationType: type, owner: "server-0" }));
        }
      };
      const claims: [Partial<Claim>, string[]][] = [
        [{ operationTypes: ["training"], otherTypes: ["data_load", "tuning"] }, ["backtesting", "training"]],
        [{ operationTypes: ["training"], otherTypes: ["data_load", "backtesting", "tuning"] }, ["training"]],
        [
          { operationTypes: ["training", "tuning"], otherTypes: ["training", "data_load"] },
          ["backtesting", "training", "tuning"],
        ],
        [{ operationTypes: [], otherTypes: ["data_load", "tuning"] }, ["backtesting", "training"]],
        [{ operationTypes: [], otherTypes: types }, []],
        [{ operationTypes: ["training"], otherTypes: [] }, ["backtesting", "data_load", "training", "tuning"]],
      ];
      for (const [claim, wanted] of claims) {
        await reset();
        expect((await claimedIds(store, claim)).sort(), JSON.stringify(claim)).toEqual(wanted);
      }
    });

    storeTest(open, "an append at the same time is in the claimant's log, or is refused", async ({ store }) => {
      const ids = Array.from({ length: 40 }, (_, index) => `op_${index}`);
      await Promise.all(ids.map((id) => store.create(operation(id))));
      const appends = ids.map((id) => store.appendMetrics(appending(id, records(1, 3), summary("three"))));
      const logs = new Map<string, number>();
      while (logs.size < ids.length) {
        for (const id of await claimedIds(store)) {
          logs.set(id, (await store.metricsLog(id)).cursor);
        }
      }
      for (const [index, appended] of (await Promise.all(appends)).entries()) {
        const id = `op_${index}`;
        expect(logs.get(id), id).toBe(appended ? 3 : 0);
        expect((await store.metricsLog(id)).cursor, id).toBe(logs.get(id));
      }
    });
  });

  describe("release", () => {
    storeTest(open, "leaves an operation that has ended without an owner", async ({ store }) => {
      const ended = endedOperation("op_a", 10);
      await store.create(ended);
      await store.release("op_a", someOwner);
      expect(await store.get("op_a")).toEqual({ ...ended, owner: "" });
      expect(await claimedIds(store)).toEqual([]);
      await store.release("op_a", someOwner);
    });

    storeTest(open, "does nothing to what is another's, has not ended, or is not there", async ({ store }) => {
      await store.create(endedOperation("op_ended", 10));
      await store.create(operation("op_active"));
      await store.release("op_ended", claimant);
      await store.release("op_active", someOwner);
      await store.release("op_gone", someOwner);
      expect(await store.get("op_ended")).toMatchObject({ owner: someOwner });
      expect(await store.get("op_active")).toMatchObject({ owner: someOwner });
    });
  });

  describe("changedByOthers", () => {
    storeTest(open, "answers what somebody else has changed, until the owner writes", async ({ store }) => {
      const [a, b, other] = [operation("op_a"), operation("op_b"), operation("op_c", { owner: "server-3" })];
      for (const stored of [a, b, other]) {
        await store.create(stored);
      }
      expect(await store.changedByOthers(someOwner)).toEqual([]);
      await store.replace([
        { ...replacement(changed(a, 2n), 1n), byOther: true },
        replacement(changed(b, 2n), 1n),
        { ...replacement(changed(other, 2n), 1n), expectedOwner: "server-3", byOther: true },
      ]);
      expect(await store.changedByOthers(someOwner)).toEqual(["op_a"]);
      expect(await store.changedByOthers("server-3")).toEqual(["op_c"]);
      await store.replace([{ ...replacement(changed(a, 3n), 1n), byOther: true }]);
      await store.replace([{ ...replacement(changed(a, 3n), 2n), byOther: true }]);
      expect(await store.changedByOthers(someOwner)).toEqual(["op_a"]);
      await store.replace([replacement(changed(a, 4n), 3n)]);
      expect(await store.changedByOthers(someOwner)).toEqual([]);
    });

    storeTest(open, "a claim and a release end it", async ({ store }) => {
      const [active, ended] = [operation("op_a"), endedOperation("op_b", 10, { owner: claimant })];
      await store.create(active);
      await store.create(ended);
      await store.replace([
        { ...replacement(changed(active, 2n), 1n), byOther: true },
        { ...replacement(changed(ended, 2n), 1n, ended.info.status), expectedOwner: claimant, byOther: true },
      ]);
      await store.claim(claimOf(claimant), batch);
      expect(await store.changedByOthers(someOwner)).toEqual([]);
      expect(await store.changedByOthers(claimant)).toEqual(["op_b"]);
      await store.release("op_b", claimant);
      expect(await store.changedByOthers(claimant)).toEqual([]);
    });
  });

  describe("an owner", () => {
    storeTest(open, "is compared by replace, and written", async ({ store }) => {
      const first = operation("op_a");
      await store.create(first);
      const late = changed(first, 2n, { status: OperationStatus.FAILED });
      for (const expectedOwner of [claimant, ""]) {
        expect(await store.replace([{ ...replacement(late, 1n), expectedOwner }])).toEqual(new Set());
      }
      expect(await store.get("op_a")).toEqual(first);

      const unowned = { ...changed(first, 2n), owner: "" };
      expect(await store.replace([replacement(unowned, 1n)])).toEqual(new Set(["op_a"]));
      expect(await store.get("op_a")).toEqual(unowned);
      expect(await store.replace([replacement(changed(first, 3n), 2n)])).toEqual(new Set());
      const owned = { ...changed(first, 3n), owner: claimant };
      const replaced = await store.replace([{ ...replacement(owned, 2n), expectedOwner: "" }]);
      expect(replaced).toEqual(new Set(["op_a"]));
      expect(await store.get("op_a")).toEqual(owned);
    });

    storeTest(open, "appends nothing to what has ended, although it is still its own", async ({ store }) => {
      await createWithRecords(store, endedOperation("op_a", 0), 2);
      expect(await store.appendMetrics(appending("op_a", records(3, 4), summary("four")))).toBe(false);
      expect(await store.metricsLog("op_a")).toEqual({ cursor: 2, summary: summary("2") });
      expect(await store.readMetrics("op_a", 0, 10)).toEqual(records(1, 2));
    });

    storeTest(open, "alone may append", async ({ store }) => {
      await store.create(operation("op_a"));
      await store.create(endedOperation("op_none", 10, { owner: "" }));
      expect(await store.appendMetrics(appending("op_a", records(1, 2), summary("two")))).toBe(true);
      for (const [id, owner] of [["op_a", claimant] as const, ["op_a", ""] as const, ["op_none", ""] as const]) {
        expect(await store.appendMetrics(appending(id, records(3, 4), summary("four"), owner))).toBe(false);
      }
      expect(await store.readMetrics("op_a", 0, 10)).toEqual(records(1, 2));
      expect(await store.metricsLog("op_a")).toEqual({ cursor: 2, summary: summary("two") });
      expect(await store.metricsLog("op_none")).toEqual({ cursor: 0, summary: new Uint8Array() });

      await store.claim(claimOf(claimant), batch);
      expect(await store.appendMetrics(appending("op_a", records(3, 4), summary("four")))).toBe(false);
      expect(await store.appendMetrics(appending("op_a", records(3, 3), summary("three"), claimant))).toBe(true);
      expect(await store.readMetrics("op_a", 0, 10)).toEqual(records(1, 3));
    });
  });
}

/** What a store that several servers share promises of owners. */
export function describeSharing(open: OpenStore): void {
  describe("claim in a shared store", () => {
    storeTest(open, "leaves what is an entered instance's", async ({ store, instances }) => {
      const enter = (instanceId: string) =>
        instances?.enter({ instanceId, url: "http://127.0.0.1:1", operationTypes: [] }, 60_000);
      await enter(someOwner);
      await enter(claimant);
      await store.create(operation("op_held"));
      await store.create(endedOperation("op_ended", 10));
      await store.create(operation("op_gone", { owner: "server-3" }));
      expect(await claimedIds(store)).toEqual(["op_gone"]);
      await instances?.leave(someOwner);
      expect((await claimedIds(store)).sort()).toEqual(["op_ended", "op_held"]);
    });

    storeTest(open, "gives each operation to one of those who claim at once", async ({ store, instances }) => {
      const ids = Array.from({ length: 200 }, (_, index) => `op_${1_000 + index}`);
      await Promise.all(ids.map((id) => store.create(operation(id))));
      const claimants = ["a", "b", "c", "d", "e", "f"];
      for (const instanceId of claimants) {
        await instances?.enter({ instanceId, url: "http://127.0.0.1:1", operationTypes: [] }, 60_000);
      }
      const claimed: string[] = [];
      while (claimed.length < ids.length) {
        const parts = await Promise.all(claimants.map((owner) => store.claim(claimOf(owner), 7)));
        for (const [index, part] of parts.entries()) {
          expect(part.length).toBeLessThanOrEqual(7);
          expect(part.every(({ owner }) => owner === claimants[index])).toBe(true);
          claimed.push(...idsOf(part));
        }
      }
      expect(claimed.sort()).toEqual(ids);
      expect(await Promise.all(claimants.map((owner) => store.claim(claimOf(owner), 7)))).toEqual(
        claimants.map(() => []),
      );
    });
  });
}
