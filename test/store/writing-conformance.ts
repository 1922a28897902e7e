import { describe, expect } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { MetricRecord } from "../../src/progress/metric-record.ts";
import {
  at,
  changed,
  endedOperation,
  type OpenStore,
  operation,
  records,
  storeTest,
  summary,
} from "./store-fixture.ts";

/** What a store promises of creating, replacing and metrics. */
export function describeWriting(open: OpenStore): void {
  describe("create and get", () => {
    storeTest(open, "an operation is found as it was stored", async ({ store }) => {
      const stored = operation("op_a", {
        operationName: "Ünïcode \u{1F680}",
        labels: { team: "ml", empty: "" },
        metadata: { symbol: "AAPL", parameters: { rate: 0.5, nested: { list: [1, null, "x"] } } },
        warnings: ["one", "two"],
        revision: 1_737_365_400_123_456n,
        dispatched: true,
        requestId: "r",
      });
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
      expect(await store.loadActive()).toHaveLength(1);
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

    storeTest(open, "loadActive answers what is not terminal, oldest first", async ({ store }) => {
      const statuses = Object.entries({
        op_d: OperationStatus.RUNNING,
        op_c: OperationStatus.PENDING,
        op_b: OperationStatus.COMPLETED,
        op_a: OperationStatus.FAILED,
        op_e: OperationStatus.CANCELLED,
        op_f: OperationStatus.RUNNING,
        op_g: OperationStatus.PENDING,
      });
      for (const [id, status] of statuses) {
        await store.create(operation(id, { status, createdAt: at(id === "op_f" ? -5 : 0) }));
      }
      const active = await store.loadActive();
      expect(active.map(({ info }) => info.operationId)).toEqual(["op_f", "op_c", "op_d", "op_g"]);
    });
  });

  describe("replace", () => {
    storeTest(open, "writes what has the expected revision", async ({ store }) => {
      const first = operation("op_a");
      await store.create(first);
      const next = { ...changed(first, 7n, { status: OperationStatus.RUNNING }), dispatched: true };
      expect(await store.replace([{ operation: next, expectedRevision: 1n }])).toEqual(new Set(["op_a"]));
      expect(await store.get("op_a")).toEqual(next);
    });

    storeTest(open, "leaves what has another revision, or is not there", async ({ store }) => {
      const first = operation("op_a");
      await store.create(first);
      const late = changed(first, 9n, { status: OperationStatus.CANCELLED });
      const gone = operation("op_gone", { revision: 2n });
      const replaced = await store.replace([
        { operation: late, expectedRevision: 2n },
        { operation: gone, expectedRevision: 1n },
      ]);
      expect(replaced).toEqual(new Set());
      expect(await store.get("op_a")).toEqual(first);
      expect(await store.get("op_gone")).toBeUndefined();
    });

    storeTest(open, "of a mixed batch, the others are untouched, records included", async ({ store }) => {
      const [a, b] = [operation("op_a"), operation("op_b")];
      await store.create(a);
      await store.create(b);
      const metrics = { records: records(1, 2), summary: summary("two") };
      const replaced = await store.replace([
        { operation: changed(a, 2n), expectedRevision: 5n, metrics },
        { operation: changed(b, 2n), expectedRevision: 1n, metrics },
      ]);
      expect(replaced).toEqual(new Set(["op_b"]));
      expect(await store.get("op_a")).toEqual(a);
      expect(await store.metricsLog("op_a")).toEqual({ cursor: 0, summary: new Uint8Array() });
      expect(await store.readMetrics("op_a", 0, 10)).toEqual([]);
      expect(await store.metricsLog("op_b")).toEqual({ cursor: 2, summary: summary("two") });
      expect(await store.readMetrics("op_b", 0, 10)).toEqual(records(1, 2));
    });

    storeTest(open, "of two writers with the same revision, one wins", async ({ store }) => {
      const first = operation("op_a");
      await store.create(first);
      const outcomes = await Promise.all(
        [2n, 3n].map((revision) => store.replace([{ operation: changed(first, revision), expectedRevision: 1n }])),
      );
      expect(outcomes.map(({ size }) => size).sort()).toEqual([0, 1]);
    });

    storeTest(open, "compares revisions beyond what a double holds", async ({ store }) => {
      const revision = 2n ** 60n + 1n;
      const first = operation("op_a", { revision });
      await store.create(first);
      const next = changed(first, revision + 1n);
      expect(await store.replace([{ operation: next, expectedRevision: revision - 1n }])).toEqual(new Set());
      expect(await store.replace([{ operation: next, expectedRevision: revision }])).toEqual(new Set(["op_a"]));
    });

    storeTest(open, "of nothing is nothing", async ({ store }) => {
      expect(await store.replace([])).toEqual(new Set());
    });
  });

  describe("metrics", () => {
    storeTest(open, "a log that does not exist is empty", async ({ store }) => {
      await store.create(operation("op_a"));
      expect(await store.metricsLog("op_a")).toEqual({ cursor: 0, summary: new Uint8Array() });
      expect(await store.readMetrics("op_a", 0, 10)).toEqual([]);
    });

    storeTest(open, "records are read after a cursor, oldest first, up to a limit", async ({ store }) => {
      await store.create(operation("op_a"));
      await store.appendMetrics("op_a", records(1, 1_234), summary("all"));
      expect(await store.metricsLog("op_a")).toEqual({ cursor: 1_234, summary: summary("all") });
      expect(await store.readMetrics("op_a", 0, 2_000)).toEqual(records(1, 1_234));
      expect(await store.readMetrics("op_a", 0, 3)).toEqual(records(1, 3));
      expect(await store.readMetrics("op_a", 700, 100)).toEqual(records(701, 800));
      expect(await store.readMetrics("op_a", 1_230, 100)).toEqual(records(1_231, 1_234));
      expect(await store.readMetrics("op_a", 1_234, 100)).toEqual([]);
    });

    storeTest(open, "a repeated append does nothing", async ({ store }) => {
      await store.create(operation("op_a"));
      await store.appendMetrics("op_a", records(1, 5), summary("five"));
      await store.appendMetrics("op_a", records(6, 8), summary("eight"));
      await store.appendMetrics("op_a", records(1, 5), summary("five"));
      await store.appendMetrics("op_a", records(6, 8), summary("eight, by another count"));
      await store.appendMetrics("op_a", [], summary("none"));
      expect(await store.metricsLog("op_a")).toEqual({ cursor: 8, summary: summary("eight") });
      expect(await store.readMetrics("op_a", 0, 20)).toEqual(records(1, 8));
    });

    storeTest(open, "records the log has already are skipped and keep what they were", async ({ store }) => {
      await store.create(operation("op_a"));
      await store.appendMetrics("op_a", records(1, 5), summary("five"));
      const again = records(4, 9).map((record) => ({ ...record, attempt: 2 }));
      await store.appendMetrics("op_a", again, summary("nine"));
      expect(await store.readMetrics("op_a", 0, 20)).toEqual([...records(1, 5), ...again.slice(2)]);
      expect(await store.metricsLog("op_a")).toEqual({ cursor: 9, summary: summary("nine") });
    });

    storeTest(open, "a record comes back as it was, whatever its bytes", async ({ store }) => {
      await store.create(operation("op_a"));
      const payloads = [
        new Uint8Array(),
        Uint8Array.from({ length: 256 }, (_, byte) => byte),
        new Uint8Array(Float64Array.of(Number.NaN, Number.POSITIVE_INFINITY, -0).buffer),
        // The second half of a larger buffer.
        new Uint8Array(16).fill(7).subarray(8),
        new Uint8Array(100_000).fill(0xff),
      ];
      const kinds = ["epoch", "segment", "bar", "trade", "custom"] as const;
      const written: MetricRecord[] = kinds.map((kind, index) => ({
        sequence: index + 1,
        attempt: index + 1,
        recordedAtMs: 1_737_365_400_123.25 + index,
        kind,
        payload: payloads[index] ?? new Uint8Array(),
      }));
      await store.appendMetrics("op_a", written, new Uint8Array());
      const read = await store.readMetrics("op_a", 0, 10);
      expect(read).toEqual(written);
      expect(read.every(({ payload }) => payload.constructor === Uint8Array)).toBe(true);
    });

    storeTest(open, "logs are kept apart, and an append leaves the operation's revision", async ({ store }) => {
      const [a, b] = [operation("op_a"), operation("op_b")];
      await store.create(a);
      await store.create(b);
      await Promise.all([
        store.appendMetrics("op_a", records(1, 3), summary("a")),
        store.appendMetrics("op_b", records(1, 2), summary("b")),
      ]);
      expect(await store.readMetrics("op_a", 0, 10)).toEqual(records(1, 3));
      expect(await store.readMetrics("op_b", 0, 10)).toEqual(records(1, 2));
      expect(await store.get("op_a")).toEqual(a);
    });

    storeTest(open, "records of an operation that is gone are dropped", async ({ store }) => {
      await store.appendMetrics("op_a", records(1, 3), summary("late"));
      await store.create(endedOperation("op_a", 0));
      expect(await store.metricsLog("op_a")).toEqual({ cursor: 0, summary: new Uint8Array() });
      expect(await store.readMetrics("op_a", 0, 10)).toEqual([]);
    });
  });
}
