import { describe, expect } from "vitest";
import type { MetricRecord } from "../../src/progress/metric-record.ts";
import { appending, endedOperation, type OpenStore, operation, records, storeTest, summary } from "./store-fixture.ts";

/** What a store promises of metrics logs. */
export function describeMetrics(open: OpenStore): void {
  describe("metrics", () => {
    storeTest(open, "a log that does not exist is empty", async ({ store }) => {
      await store.create(operation("op_a"));
      expect(await store.metricsLog("op_a")).toEqual({ cursor: 0, summary: new Uint8Array() });
      expect(await store.readMetrics("op_a", 0, 10)).toEqual([]);
    });

    storeTest(open, "records are read after a cursor, oldest first, up to a limit", async ({ store }) => {
      await store.create(operation("op_a"));
      await store.appendMetrics(appending("op_a", records(1, 1_234), summary("all")));
      expect(await store.metricsLog("op_a")).toEqual({ cursor: 1_234, summary: summary("all") });
      expect(await store.readMetrics("op_a", 0, 2_000)).toEqual(records(1, 1_234));
      expect(await store.readMetrics("op_a", 0, 3)).toEqual(records(1, 3));
      expect(await store.readMetrics("op_a", 700, 100)).toEqual(records(701, 800));
      expect(await store.readMetrics("op_a", 1_230, 100)).toEqual(records(1_231, 1_234));
      expect(await store.readMetrics("op_a", 1_234, 100)).toEqual([]);
    });

    storeTest(open, "a repeated append does nothing", async ({ store }) => {
      await store.create(operation("op_a"));
      await store.appendMetrics(appending("op_a", records(1, 5), summary("five")));
      await store.appendMetrics(appending("op_a", records(6, 8), summary("eight")));
      await store.appendMetrics(appending("op_a", records(1, 5), summary("five")));
      const repeated = appending("op_a", records(6, 8), summary("eight, by another count"));
      expect(await store.appendMetrics(repeated)).toBe(true);
      expect(await store.appendMetrics(appending("op_a", [], summary("none")))).toBe(true);
      expect(await store.metricsLog("op_a")).toEqual({ cursor: 8, summary: summary("eight") });
      expect(await store.readMetrics("op_a", 0, 20)).toEqual(records(1, 8));
    });

    storeTest(open, "records the log has already are skipped and keep what they were", async ({ store }) => {
      await store.create(operation("op_a"));
      await store.appendMetrics(appending("op_a", records(1, 5), summary("five")));
      const again = records(4, 9).map((record) => ({ ...record, attempt: 2 }));
      await store.appendMetrics(appending("op_a", again, summary("nine")));
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
      await store.appendMetrics(appending("op_a", written, new Uint8Array()));
      const read = await store.readMetrics("op_a", 0, 10);
      expect(read).toEqual(written);
      expect(read.every(({ payload }) => payload.constructor === Uint8Array)).toBe(true);
    });

    storeTest(open, "logs are kept apart, and an append leaves the operation's revision", async ({ store }) => {
      const [a, b] = [operation("op_a"), operation("op_b")];
      await store.create(a);
      await store.create(b);
      await Promise.all([
        store.appendMetrics(appending("op_a", records(1, 3), summary("a"))),
        store.appendMetrics(appending("op_b", records(1, 2), summary("b"))),
      ]);
      expect(await store.readMetrics("op_a", 0, 10)).toEqual(records(1, 3));
      expect(await store.readMetrics("op_b", 0, 10)).toEqual(records(1, 2));
      expect(await store.get("op_a")).toEqual(a);
    });

    storeTest(open, "appends at once are each answered for themselves", async ({ store }) => {
      const ids = Array.from({ length: 40 }, (_, index) => `op_${index}`);
      await Promise.all(ids.map((id) => store.create(operation(id))));
      await store.create(endedOperation("op_ended", 0));
      const appends = [
        ...ids.map((id, index) => appending(id, records(1, index + 1), summary(id))),
        appending("op_7", records(1, 3), summary("late")),
        appending("op_8", records(1, 20), summary("more")),
        appending("op_ended", records(1, 3), summary("late")),
        appending("op_gone", records(1, 3), summary("late")),
        { ...appending("op_9", records(1, 100), summary("theirs")), owner: "server-2" },
      ];
      const outcomes = await Promise.all(appends.map((append) => store.appendMetrics(append)));
      expect(outcomes).toEqual([...ids.map(() => true), true, true, false, false, false]);
      for (const [index, id] of ids.entries()) {
        const cursor = id === "op_8" ? 20 : index + 1;
        expect(await store.metricsLog(id)).toEqual({ cursor, summary: summary(id === "op_8" ? "more" : id) });
        expect(await store.readMetrics(id, 0, 100)).toEqual(records(1, cursor));
      }
    });

    storeTest(open, "records of an operation that is gone are dropped", async ({ store }) => {
      expect(await store.appendMetrics(appending("op_a", records(1, 3), summary("late")))).toBe(false);
      await store.create(endedOperation("op_a", 0));
      expect(await store.metricsLog("op_a")).toEqual({ cursor: 0, summary: new Uint8Array() });
      expect(await store.readMetrics("op_a", 0, 10)).toEqual([]);
    });
  });
}
