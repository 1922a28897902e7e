import { describe, expect } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  type OperationStore,
  type PageKey,
  pageKeyOf,
  type StoredOperation,
} from "../../src/operations/operation-store.ts";
import {
  at,
  changed,
  endedOperation,
  epochMs,
  filter,
  idsOf,
  type OpenStore,
  operation,
  replacement,
  someOwner,
  storeTest,
} from "./store-fixture.ts";

const { PENDING, RUNNING, COMPLETED, FAILED } = OperationStatus;

/** Six operations, op_f the newest. */
async function fill(store: OperationStore): Promise<void> {
  const drafts = {
    op_a: { operationType: "training", status: COMPLETED, labels: { team: "ml", stage: "prod" } },
    op_b: { operationType: "data_load", status: RUNNING, labels: { team: "ml" } },
    op_c: { operationType: "training", status: FAILED, parentOperationId: "op_b", labels: { team: "data" } },
    op_d: { operationType: "training", status: PENDING, parentOperationId: "op_b" },
    op_e: { operationType: "backtesting", status: RUNNING, labels: { team: "ml", stage: "dev" } },
    op_f: { operationType: "data_load", status: COMPLETED, labels: { stage: "prod", team: "ml" } },
  };
  for (const [index, [id, draft]] of Object.entries(drafts).entries()) {
    await store.create(operation(id, { ...draft, createdAt: at(index * 1_000) }));
  }
}

const searches: [name: string, conditions: Parameters<typeof filter>[0], ids: string][] = [
  ["no condition", {}, "fedcba"],
  ["one type", { operationTypes: ["training"] }, "dca"],
  ["two types", { operationTypes: ["training", "backtesting"] }, "edca"],
  ["a type nobody has", { operationTypes: ["tuning"] }, ""],
  ["one status", { statuses: [RUNNING] }, "eb"],
  ["two statuses", { statuses: [RUNNING, COMPLETED] }, "feba"],
  ["a parent", { parentOperationId: "op_b" }, "dc"],
  ["a parent without children", { parentOperationId: "op_a" }, ""],
  ["a label", { labels: { team: "ml" } }, "feba"],
  ["a label with another value", { labels: { team: "x" } }, ""],
  ["two labels", { labels: { team: "ml", stage: "prod" } }, "fa"],
  ["two labels, one nobody has", { labels: { team: "ml", stage: "x" } }, ""],
  ["the value of another key", { labels: { stage: "ml" } }, ""],
  ["created at an instant or later", { createdAfter: at(4_000) }, "fe"],
  ["created before an instant", { createdBefore: at(2_000) }, "ba"],
  ["created in a range", { createdAfter: at(1_000), createdBefore: at(3_000) }, "cb"],
  ["created after a fraction of a millisecond", { createdAfter: { ...at(4_000), nanos: 1 } }, "f"],
  ["created before a fraction of a millisecond", { createdBefore: { ...at(1_000), nanos: 1 } }, "ba"],
  ["type and status", { operationTypes: ["training"], statuses: [PENDING, FAILED] }, "dc"],
  ["label and status", { labels: { team: "ml" }, statuses: [COMPLETED] }, "fa"],
  ["label and active statuses", { labels: { team: "ml" }, statuses: [PENDING, RUNNING] }, "eb"],
  ["label and type", { labels: { team: "ml" }, operationTypes: ["data_load"] }, "fb"],
  ["label and parent", { labels: { team: "data" }, parentOperationId: "op_b" }, "c"],
  ["label and range", { labels: { team: "ml" }, createdAfter: at(1_000), createdBefore: at(5_000) }, "eb"],
  [
    "every condition",
    {
      operationTypes: ["training", "tuning"],
      statuses: [FAILED, PENDING],
      parentOperationId: "op_b",
      labels: { team: "data" },
      createdAfter: at(1_000),
      createdBefore: at(4_000),
    },
    "c",
  ],
];

/** What a store promises of list and count. */
export function describeSearch(open: OpenStore): void {
  describe("list and count", () => {
    storeTest(open, "find what every condition holds for, newest first", async ({ store }) => {
      await fill(store);
      for (const [name, conditions, letters] of searches) {
        const wanted = [...letters].map((letter) => `op_${letter}`);
        expect(idsOf(await store.list(filter(conditions), undefined, 100)), name).toEqual(wanted);
        const counts = await store.count(filter(conditions));
        expect(
          counts.reduce((sum, { count }) => sum + count, 0),
          name,
        ).toBe(wanted.length);
      }
    });

    storeTest(open, "pages of any filter join without gap or repetition", async ({ store }) => {
      await fill(store);
      for (const [name, conditions, letters] of searches) {
        expect(await allPages(store, conditions, 1), name).toEqual([...letters].map((letter) => `op_${letter}`));
      }
    });

    storeTest(open, "operations created in the same millisecond are paged by id", async ({ store }) => {
      const ids = ["op_10", "op_9", "op_Z", "op_a", "op_b"];
      for (const id of ids) {
        await store.create(operation(id, { labels: { team: "ml" } }));
      }
      await store.create(operation("op_new", { createdAt: at(1), labels: { team: "ml" } }));
      await store.create(operation("op_zold", { createdAt: at(-1), labels: { team: "ml" } }));
      const wanted = ["op_new", ...ids.toReversed(), "op_zold"];
      for (const conditions of [
        {},
        { labels: { team: "ml" } },
        { operationTypes: ["training"] },
        { statuses: [PENDING] },
      ]) {
        for (const pageSize of [1, 2, 3, 10]) {
          expect(await allPages(store, conditions, pageSize)).toEqual(wanted);
        }
      }
    });

    storeTest(open, "a page begins after a position nobody holds", async ({ store }) => {
      await fill(store);
      const after = { createdAtMs: epochMs + 2_500, operationId: "op_x" };
      expect(idsOf(await store.list(filter(), after, 2))).toEqual(["op_c", "op_b"]);
    });

    storeTest(open, "list answers snapshots and owners as they are stored", async ({ store }) => {
      const first = operation("op_a", { labels: { team: "ml" }, warnings: ["careful"] });
      await store.create(first);
      const unowned = operation("op_b", { status: COMPLETED, owner: "" });
      await store.create(unowned);
      const next = changed(first, 2n, { status: RUNNING });
      await store.replace([replacement(next, 1n)]);
      expect(await store.list(filter({ statuses: [RUNNING] }), undefined, 10)).toEqual([
        { info: next.info, owner: someOwner },
      ]);
      expect(await store.list(filter({ statuses: [COMPLETED] }), undefined, 10)).toEqual([
        { info: unowned.info, owner: "" },
      ]);
      expect(await store.list(filter({ statuses: [PENDING] }), undefined, 10)).toEqual([]);
    });

    storeTest(open, "labels may have any characters", async ({ store }) => {
      const values = ["\0", "a\0", "a", "", "\u{1F680}", "'\"\\%_"];
      for (const [index, value] of values.entries()) {
        await store.create(operation(`op_${index}`, { labels: { note: value } }));
      }
      for (const [index, value] of values.entries()) {
        const found = await store.list(filter({ labels: { note: value } }), undefined, 10);
        expect(idsOf(found), value).toEqual([`op_${index}`]);
        expect(found[0]?.info.labels).toEqual({ note: value });
      }
    });

    storeTest(open, "counts are those of what is stored, whatever became of it", async ({ store, reopen }) => {
      const countsOf = async (from: OperationStore, conditions: Parameters<typeof filter>[0] = {}) =>
        Object.fromEntries(
          (await from.count(filter(conditions))).map((line) => [`${line.operationType} ${line.status}`, line.count]),
        );
      const [a, b, c] = ["op_a", "op_b", "op_c"].map((id) => operation(id)) as [
        StoredOperation,
        StoredOperation,
        StoredOperation,
      ];
      await Promise.all([a, b, c, operation("op_a")].map((one) => store.create(one)));
      await store.create(endedOperation("op_d", 10, { operationType: "data_load" }));
      expect(await countsOf(store)).toEqual({ [`training ${PENDING}`]: 3, [`data_load ${COMPLETED}`]: 1 });

      const running = { status: RUNNING };
      await store.replace([replacement(changed(a, 2n, running), 1n), replacement(changed(b, 9n, running), 8n)]);
      // The status is compared, too.
      expect(await store.replace([replacement(changed(b, 2n, running), 1n, RUNNING)])).toEqual(new Set());
      await store.replace([replacement(changed(a, 3n, running), 2n, RUNNING)]);
      expect(await countsOf(store, { operationTypes: ["training"] })).toEqual({
        [`training ${PENDING}`]: 2,
        [`training ${RUNNING}`]: 1,
      });

      await store.delete("op_c", 5n);
      await store.delete("op_c", 1n);
      await store.expire(epochMs + 10, 10, epochMs + 20);
      const left = { [`training ${PENDING}`]: 1, [`training ${RUNNING}`]: 1 };
      expect(await countsOf(store)).toEqual(left);
      expect(await countsOf(store, { statuses: [PENDING] })).toEqual({ [`training ${PENDING}`]: 1 });
      expect(await countsOf(await reopen())).toEqual(left);
    });

    storeTest(open, "lists and counts beyond one span are whole", async ({ store }) => {
      const count = 450;
      const ids = Array.from({ length: count }, (_, index) => `op_${String(index).padStart(3, "0")}`);
      await Promise.all(
        ids.map((id, index) =>
          store.create(
            operation(id, {
              createdAt: at(index),
              operationType: index % 2 === 0 ? "training" : "data_load",
              status: index % 3 === 0 ? RUNNING : PENDING,
              labels: { team: "ml", ...(index % 75 === 0 && { stage: "prod" }) },
              ...(index > 0 && { parentOperationId: "op_000" }),
            }),
          ),
        ),
      );
      const wanted = (isWanted: (index: number) => boolean) => ids.filter((_, index) => isWanted(index)).toReversed();
      const wholes: [conditions: Parameters<typeof filter>[0], isWanted: (index: number) => boolean][] = [
        [{ labels: { team: "ml" }, statuses: [RUNNING] }, (index) => index % 3 === 0],
        [{ labels: { team: "ml", stage: "prod" } }, (index) => index % 75 === 0],
        [{ labels: { stage: "prod" }, operationTypes: ["training"] }, (index) => index % 150 === 0],
        [
          { labels: { team: "ml" }, operationTypes: ["training", "data_load"], statuses: [PENDING, RUNNING] },
          () => true,
        ],
        [{ parentOperationId: "op_000", statuses: [RUNNING] }, (index) => index > 0 && index % 3 === 0],
        [{ createdAfter: at(100), createdBefore: at(400) }, (index) => index >= 100 && index < 400],
        [{ labels: { team: "none" }, statuses: [RUNNING] }, () => false],
      ];
      for (const [conditions, isWanted] of wholes) {
        const found = wanted(isWanted);
        expect(await allPages(store, conditions, 70)).toEqual(found);
        const lines = await store.count(filter(conditions));
        expect(lines.reduce((sum, line) => sum + line.count, 0)).toBe(found.length);
      }
    });

    storeTest(open, "count answers one line for each status and type that occurs", async ({ store }) => {
      await fill(store);
      await store.create(operation("op_g", { operationType: "training", status: FAILED }));
      const lines = (await store.count(filter())).map(({ status, operationType, count }) => [
        operationType,
        status,
        count,
      ]);
      expect(lines.sort()).toEqual([
        ["backtesting", RUNNING, 1],
        ["data_load", RUNNING, 1],
        ["data_load", COMPLETED, 1],
        ["training", PENDING, 1],
        ["training", COMPLETED, 1],
        ["training", FAILED, 2],
      ]);
      expect(await store.count(filter({ operationTypes: ["tuning"] }))).toEqual([]);
    });
  });
}

async function allPages(
  store: OperationStore,
  conditions: Parameters<typeof filter>[0],
  pageSize: number,
): Promise<string[]> {
  const ids: string[] = [];
  let after: PageKey | undefined;
  for (;;) {
    const page = await store.list(filter(conditions), after, pageSize);
    ids.push(...idsOf(page));
    const last = page.at(-1);
    if (last === undefined || page.length < pageSize) {
      return ids;
    }
    after = pageKeyOf(last.info);
  }
}
