import fc from "fast-check";
import { describe, expect } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { conditionHolds, type OperationCondition } from "../../src/operations/operation-condition.ts";
import { type OperationStore, pageKeyOf, type StoredOperation } from "../../src/operations/operation-store.ts";
import { generatedConditions } from "../support/generated-conditions.ts";
import { at, epochMs, filter, idsOf, type OpenStore, operation, storeTest } from "./store-fixture.ts";

const { PENDING, RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;

/** Label values with what databases could take for something else. */
const labelValues = ["ml", "ML", "data", "", "50%", "a_b", "'\\\"", "*", "\u{1F680} go", "é"];

/** Seven operations, op_g the newest. They differ in all that a condition can ask for. */
const operations: StoredOperation[] = [
  operation("op_a", { status: COMPLETED, completedAt: at(9_000), labels: { team: "ml", stage: "prod" } }),
  operation("op_b", { operationType: "data_load", status: RUNNING, labels: { team: "ML", note: "50%" } }),
  operation("op_c", { status: FAILED, parentOperationId: "op_b", completedAt: at(5_000), labels: { note: "a_b" } }),
  operation("op_d", { status: PENDING, parentOperationId: "op_b" }),
  operation("op_e", { operationType: "data_load_2", status: RUNNING, labels: { team: "", note: "'\\\"" } }),
  operation("op_f", {
    status: CANCELLED,
    completedAt: { ...at(5_000), nanos: 999_999 },
    labels: { team: "\u{1F680} go", note: "*" },
  }),
  operation("op_g", {
    operationType: "backtesting",
    status: PENDING,
    parentOperationId: "op_c",
    labels: { note: "é" },
  }),
].map((stored, index) => ({ ...stored, info: { ...stored.info, createdAt: at(Math.floor(index / 2) * 1_000) } }));

const conditions = generatedConditions({
  operationIds: ["op_a", "op_b", "op_c", "op_z"],
  operationTypes: ["training", "data_load", "data_load_2", "tuning"],
  labelKeys: ["team", "stage", "note", "none"],
  labelValues,
  times: [0, 999, 1_000, 1_001, 2_000, 5_000, 5_001, 9_000].map((offset) => epochMs + offset),
});

const filters = [
  {},
  { operationTypes: ["training", "data_load"] },
  { statuses: [RUNNING, PENDING] },
  { statuses: [COMPLETED] },
  { labels: { team: "ml" } },
  { parentOperationId: "op_b" },
  { createdAfter: at(1_000), createdBefore: at(2_001) },
];

/** What a store promises of conditions beside the filter. */
export function describeConditions(open: OpenStore): void {
  describe("a condition beside the filter", () => {
    storeTest(open, "matches what it holds for, in lists, pages and counts", async ({ store }) => {
      await fill(store);
      await fc.assert(
        fc.asyncProperty(
          conditions,
          fc.constantFrom(...filters),
          fc.integer({ min: 1, max: 8 }),
          async (one, of, size) => {
            const inFilter = new Set(idsOf(await store.list(filter(of), undefined, 100)));
            const wanted = operations
              .filter(({ info }) => inFilter.has(info.operationId) && conditionHolds(one, info))
              .map(({ info }) => info.operationId)
              .sort()
              .reverse();
            expect(await allPages(store, of, one, size)).toEqual(wanted);
            const counts = await store.count(filter(of), one);
            expect(counts.reduce((sum, { count }) => sum + count, 0)).toBe(wanted.length);
          },
        ),
        { numRuns: 300 },
      );
    });

    storeTest(open, "finds what is rare among many, in lists, pages and counts", async ({ store }) => {
      // More than are looked at first; one that matches is the last of them.
      const many = Array.from({ length: 450 }, (_, index) =>
        operation(`op_${String(index).padStart(4, "0")}`, {
          operationType: index % 2 === 0 ? "training" : "tuning",
          status: index % 3 === 0 ? COMPLETED : RUNNING,
          // Several have the same time.
          createdAt: at(Math.floor(index / 3)),
          labels: { team: "ml", ...(index % 29 === 18 && { rare: "yes" }) },
        }),
      );
      for (let from = 0; from < many.length; from += 50) {
        await Promise.all(many.slice(from, from + 50).map((one) => store.create(one)));
      }
      const rare: OperationCondition = { kind: "set", field: { label: "rare" } };
      for (const of of [
        {},
        { operationTypes: ["training", "tuning"] },
        { operationTypes: ["tuning"] },
        { statuses: [RUNNING] },
        { statuses: [RUNNING, COMPLETED] },
        { labels: { team: "ml" } },
      ]) {
        const wanted = many
          .filter(({ info }) => conditionHolds(rare, info))
          .filter(({ info }) => of.operationTypes?.includes(info.operationType) ?? true)
          .filter(({ info }) => of.statuses?.includes(info.status as never) ?? true)
          .map(({ info }) => info.operationId)
          .reverse();
        expect(wanted.length).toBeGreaterThan(4);
        for (const pageSize of [4, 100]) {
          expect(await allPages(store, of, rare, pageSize)).toEqual(wanted);
        }
        const counts = await store.count(filter(of), rare);
        expect(counts.reduce((sum, { count }) => sum + count, 0)).toBe(wanted.length);
        expect(new Set(counts.map((one) => `${one.status} ${one.operationType}`)).size).toBe(counts.length);
      }
    });

    storeTest(open, "that is not set does not hold, and so its opposite does", async ({ store }) => {
      await fill(store);
      const cases: [OperationCondition, string][] = [
        [{ kind: "text", field: "parent_operation_id", oneOf: ["op_b"] }, "dc"],
        [{ kind: "order", field: "parent_operation_id", operator: "<=", value: "op_b" }, "dc"],
        [{ kind: "text", field: { label: "team" }, oneOf: ["ml"] }, "a"],
        [{ kind: "part", field: { label: "team" }, at: "start", value: "" }, "feba"],
        [{ kind: "set", field: { label: "team" } }, "feba"],
        [{ kind: "set", field: "parent_operation_id" }, "gdc"],
        [{ kind: "set", field: "completed_at" }, "fca"],
        [{ kind: "time", field: "completed_at", operator: "<", ms: epochMs + 6_000 }, "fc"],
      ];
      for (const [condition, letters] of cases) {
        const ids = idsOf(await store.list(filter(), undefined, 100, condition));
        expect(ids.map((id) => id.at(-1)).join("")).toBe(letters);
        const others = idsOf(await store.list(filter(), undefined, 100, { kind: "not", condition }));
        expect([...ids, ...others].sort()).toEqual(idsOf(operations).sort());
      }
    });

    storeTest(open, "tells upper from lower case, and takes nothing for a pattern", async ({ store }) => {
      await fill(store);
      const cases: [at: "start" | "end" | "anywhere", value: string, letters: string][] = [
        ["start", "m", ""],
        ["start", "5", "b"],
        ["end", "%", "b"],
        ["anywhere", "_", "c"],
        ["anywhere", "%", "b"],
        ["anywhere", "\\", "e"],
        ["anywhere", "*", "f"],
      ];
      for (const [place, value, letters] of cases) {
        const condition = { kind: "part", field: { label: "note" }, at: place, value } as const;
        const ids = idsOf(await store.list(filter(), undefined, 100, condition));
        expect(ids.map((id) => id.at(-1)).join(""), `${place} ${value}`).toBe(letters);
      }
      const team = { kind: "part", field: { label: "team" }, at: "start", value: "M" } as const;
      expect(idsOf(await store.list(filter(), undefined, 100, team))).toEqual(["op_b"]);
    });
  });
}

async function fill(store: OperationStore): Promise<void> {
  for (const one of operations) {
    await store.create(one);
  }
}

async function allPages(
  store: OperationStore,
  of: Parameters<typeof filter>[0],
  condition: OperationCondition,
  pageSize: number,
): Promise<string[]> {
  const ids: string[] = [];
  for (let page = await store.list(filter(of), undefined, pageSize, condition); ; ) {
    ids.push(...idsOf(page));
    const last = page.at(-1);
    if (last === undefined) {
      return ids;
    }
    page = await store.list(filter(of), pageKeyOf(last.info), pageSize, condition);
  }
}
