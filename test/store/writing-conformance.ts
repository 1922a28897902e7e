import { describe, expect } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  at,
  changed,
  epochMs,
  filter,
  type OpenStore,
  operation,
  replacement,
  someOwner,
  storeTest,
} from "./store-fixture.ts";

/** What a store promises of creating and replacing. */
export function describeWriting(open: OpenStore): void {
  describe("create and get", () => {
    storeTest(open, "an operation is found as it was stored", async ({ store }) => {
      const draft = operation("op_a", {
        operationName: "Ünïcode \u{1F680}",
        labels: { team: "ml", empty: "" },
        metadata: { symbol: "AAPL", parameters: { rate: 0.5, nested: { list: [1, null, "x"] } } },
        warnings: ["one", "two"],
        revision: 1_737_365_400_123_456n,
        dispatched: true,
        requestId: "r",
      });
      const stored = { ...draft, traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
      expect(await store.create(stored)).toEqual({ created: true });
      expect(await store.get("op_a")).toEqual(stored);
    });

    storeTest(open, "an unknown operation is undefined", async ({ store }) => {
      expect(await store.get("op_a")).toBeUndefined();
    });

    storeTest(open, "a taken operation_id answers its holder and changes nothing", async ({ store }) => {
      const first = operation("op_a", { labels: { team: "ml" } });
      await store.create(first);
      const outcome = await store.create(
        operation("op_a", { operationType: "data_load", requestId: "r", labels: { x: "y" } }),
      );
      expect(outcome).toEqual({ created: false, conflict: "operation_id", existing: first });
      expect(await store.get("op_a")).toEqual(first);
      expect(await store.create(operation("op_b", { requestId: "r" }))).toEqual({ created: true });
    });

    storeTest(open, "a taken request_id answers its holder and changes nothing", async ({ store }) => {
      const first = operation("op_a", { requestId: "r" });
      await store.create(first);
      const outcome = await store.create(operation("op_b", { requestId: "r" }));
      expect(outcome).toEqual({ created: false, conflict: "request_id", existing: first });
      expect(await store.get("op_b")).toBeUndefined();
    });

    storeTest(open, "a repeated request with its own operation_id conflicts by its request_id", async ({ store }) => {
      const first = operation("op_a", { requestId: "r" });
      await store.create(first);
      expect(await store.create(first)).toEqual({ created: false, conflict: "request_id", existing: first });
    });

    storeTest(open, "a request_id may have any characters", async ({ store }) => {
      for (const [index, requestId] of ["\0", "a\0", "a\0b", "a", "\u{1F680}", "'\"\\%_"].entries()) {
        expect(await store.create(operation(`op_${index}`, { requestId })), requestId).toEqual({ created: true });
        const outcome = await store.create(operation("op_x", { requestId }));
        expect(outcome, requestId).toMatchObject({
          created: false,
          existing: { info: { operationId: `op_${index}` } },
        });
      }
    });

    storeTest(open, "operations without a request_id do not conflict", async ({ store }) => {
      expect(await store.create(operation("op_a"))).toEqual({ created: true });
      expect(await store.create(operation("op_b"))).toEqual({ created: true });
    });

    storeTest(open, "of creates at once with one request_id, one creates", async ({ store }) => {
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, index) => store.create(operation(`op_${index}`, { requestId: "r" }))),
      );
      expect(outcomes.filter(({ created }) => created)).toHaveLength(1);
      const winner = `op_${outcomes.findIndex(({ created }) => created)}`;
      for (const outcome of outcomes) {
        expect(outcome.created || outcome.existing.info.operationId).toBe(outcome.created ? true : winner);
      }
      expect(await store.list(filter(), undefined, 10)).toHaveLength(1);
    });

    storeTest(open, "creates at once are each answered for themselves, and labelled", async ({ store }) => {
      const taken = operation("op_taken", { labels: { round: "0" } });
      await store.create(taken);
      const ids = Array.from({ length: 60 }, (_, index) => `op_${index}`);
      ids.splice(20, 0, "op_taken", "op_5");
      const outcomes = await Promise.all(
        ids.map((id, index) => store.create(operation(id, { labels: { round: "1", place: `${index}` } }))),
      );
      expect(outcomes[20]).toEqual({ created: false, conflict: "operation_id", existing: taken });
      expect(outcomes[21]).toMatchObject({ created: false, existing: { info: { labels: { place: "5" } } } });
      expect(outcomes.filter(({ created }) => created)).toHaveLength(60);
      const listed = await store.list(filter({ labels: { round: "1" } }), undefined, 100);
      const created = ids.filter((_, index) => outcomes[index]?.created);
      expect(listed.map(({ info }) => info.operationId).sort()).toEqual(created.sort());
      for (const [index, outcome] of outcomes.entries()) {
        const page = await store.list(filter({ labels: { place: `${index}` } }), undefined, 2);
        expect(page).toHaveLength(outcome.created ? 1 : 0);
      }
    });

    storeTest(open, "getMany answers those that exist, each once", async ({ store }) => {
      await store.create(operation("op_a"));
      await store.create(operation("op_b"));
      const found = await store.getMany(["op_b", "op_x", "op_a", "op_b"]);
      expect(found.map(({ info }) => info.operationId).sort()).toEqual(["op_a", "op_b"]);
      expect(await store.getMany([])).toEqual([]);
    });

    storeTest(open, "getMany takes thousands of ids", async ({ store }) => {
      const ids = Array.from({ length: 2_500 }, (_, index) => `op_${index}`);
      await Promise.all(ids.map((id) => store.create(operation(id))));
      expect(await store.getMany(ids)).toHaveLength(2_500);
    });
  });

  describe("replace", () => {
    storeTest(open, "writes what has the expected revision", async ({ store }) => {
      const first = operation("op_a");
      await store.create(first);
      const next = { ...changed(first, 7n, { status: OperationStatus.RUNNING }), dispatched: true };
      expect(await store.replace([replacement(next, 1n)])).toEqual(new Set(["op_a"]));
      expect(await store.get("op_a")).toEqual(next);
    });

    storeTest(open, "leaves what has another revision, or is not there", async ({ store }) => {
      const first = operation("op_a");
      await store.create(first);
      const late = changed(first, 9n, { status: OperationStatus.CANCELLED });
      const gone = operation("op_gone", { revision: 2n });
      const replaced = await store.replace([replacement(late, 2n), replacement(gone, 1n)]);
      expect(replaced).toEqual(new Set());
      expect(await store.get("op_a")).toEqual(first);
      expect(await store.get("op_gone")).toBeUndefined();
    });

    storeTest(open, "of a mixed batch, the others are untouched", async ({ store }) => {
      const [a, b, c] = [operation("op_a"), operation("op_b"), operation("op_c")];
      for (const first of [a, b, c]) {
        await store.create(first);
      }
      const replaced = await store.replace([
        replacement(changed(a, 2n), 5n),
        replacement(changed(b, 2n), 1n),
        { ...replacement(changed(c, 2n), 1n), expectedOwner: "server-2" },
      ]);
      expect(replaced).toEqual(new Set(["op_b"]));
      expect(await store.get("op_a")).toEqual(a);
      expect(await store.get("op_b")).toEqual(changed(b, 2n));
      expect(await store.get("op_c")).toEqual(c);
    });

    storeTest(open, "of two writers with the same revision, one wins", async ({ store }) => {
      const first = operation("op_a");
      await store.create(first);
      const outcomes = await Promise.all(
        [2n, 3n].map((revision) => store.replace([replacement(changed(first, revision), 1n)])),
      );
      expect(outcomes.map(({ size }) => size).sort()).toEqual([0, 1]);
    });

    storeTest(open, "at once, each is answered for itself", async ({ store }) => {
      const large = 2n ** 60n + 1n;
      const stored = Array.from({ length: 40 }, (_, index) => operation(`op_${index}`, { revision: large }));
      await Promise.all(stored.map((first) => store.create(first)));
      const next = (index: number) => {
        const { RUNNING, COMPLETED } = OperationStatus;
        const ended = index % 2 === 0 ? { status: COMPLETED, completedAt: at(index), expiresAt: at(1_000) } : {};
        const info = { status: RUNNING, warnings: [`'{"\\ ${index}`], ...ended };
        const first = stored[index] ?? operation(`op_${index}`, { revision: large });
        return { ...changed(first, large + 1n, info), dispatched: true, owner: index % 2 === 0 ? "" : someOwner };
      };
      const changes = [...stored.keys(), 40].map((index) => replacement(next(index), large));
      const refused = new Map([
        [3, replacement(next(3), large - 1n)],
        [8, replacement(next(8), large, OperationStatus.RUNNING)],
        [13, { ...replacement(next(13), large), expectedOwner: "server-2" }],
        [14, { ...replacement(next(14), large), expectedOwner: "" }],
        // There is none.
        [40, replacement(next(40), large)],
      ]);
      const outcomes = await Promise.all(changes.map((change, index) => store.replace([refused.get(index) ?? change])));
      for (const [index, outcome] of outcomes.entries()) {
        const id = `op_${index}`;
        expect(outcome, id).toEqual(new Set(refused.has(index) ? [] : [id]));
        expect(await store.get(id), id).toEqual(refused.has(index) ? stored[index] : next(index));
      }
      const due = stored.flatMap(({ info: { operationId } }, index) =>
        index % 2 === 0 && !refused.has(index) ? [operationId] : [],
      );
      expect((await store.expire(epochMs + 1_000, 100, epochMs)).sort()).toEqual(due.sort());
    });

    storeTest(open, "at once of one operation, they are as if done one after the other", async ({ store }) => {
      const [a, b] = [operation("op_a"), operation("op_b")];
      await store.create(a);
      await store.create(b);
      const revisions = [2n, 3n, 4n];
      const [other, ...sets] = await Promise.all([
        store.replace([replacement(changed(b, 2n), 1n)]),
        ...revisions.map((revision) => store.replace([replacement(changed(a, revision), 1n)])),
      ]);
      expect(other).toEqual(new Set(["op_b"]));
      const winners = revisions.filter((_, index) => sets[index]?.has("op_a"));
      expect(winners).toEqual([(await store.get("op_a"))?.info.revision]);
    });

    storeTest(open, "compares revisions beyond what a double holds", async ({ store }) => {
      const revision = 2n ** 60n + 1n;
      const first = operation("op_a", { revision });
      await store.create(first);
      const next = changed(first, revision + 1n);
      expect(await store.replace([replacement(next, revision - 1n)])).toEqual(new Set());
      expect(await store.replace([replacement(next, revision)])).toEqual(new Set(["op_a"]));
    });

    storeTest(open, "of nothing is nothing", async ({ store }) => {
      expect(await store.replace([])).toEqual(new Set());
    });
  });
}
