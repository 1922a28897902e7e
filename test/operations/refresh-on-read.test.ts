import { create } from "@bufbuild/protobuf";
import { describe, expect, onTestFinished, test } from "vitest";
import { FreshnessSource, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { CreateOperationRequestSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { newStoredOperation } from "../../src/operations/create-operation.ts";
import { LiveOperation } from "../../src/operations/live-operation.ts";
import type { PullResult } from "../../src/operations/operation-source.ts";
import { PullSettlement } from "../../src/operations/pull-settlement.ts";
import { RefreshOnRead } from "../../src/operations/refresh-on-read.ts";
import { openSqliteStore } from "../../src/store/sqlite-store.ts";
import { metricRecords } from "../support/metric-records.ts";
import { observed, ScriptedSource } from "../support/scripted-source.ts";

const { RUNNING, COMPLETED, FAILED } = OperationStatus;
const ttlMs = 1_000;
const epochs = (count: number, firstSequence = 1) =>
  metricRecords(
    "epoch",
    Array.from({ length: count }, (_, index) => ({ epoch: firstSequence + index })),
    { firstSequence },
  );

/** An operation that a scripted source runs, with a clock that stands still. */
async function scripted({ pullTimeoutMs = 60_000, hostLostAfterMs = 300_000 } = {}) {
  const store = await openSqliteStore(":memory:");
  onTestFinished(() => store.close());
  const clock = { nowMs: Date.UTC(2026, 0, 20) };
  const request = create(CreateOperationRequestSchema, { operationType: "training" });
  const wanted = { request, host: "http://host.test:1", attempt: 1, retryOf: "" };
  const stored = newStoredOperation(wanted, "server-1", clock.nowMs);
  await store.create(stored);
  const now = () => clock.nowMs;
  const operation = new LiveOperation({ store, stored, log: { cursor: 0, summary: new Uint8Array() }, now });
  const source = new ScriptedSource();
  source.answer = () => observed({ status: RUNNING });
  operation.source = source;
  const settlement = new PullSettlement(operation, {
    hostLostAfterMs,
    retentionMs: () => 3_600_000,
    now,
    estimateRemainingMs: () => undefined,
  });
  const refresh = new RefreshOnRead(operation, settlement, { pullTimeoutMs, now });
  return { store, clock, operation, source, refresh };
}

/** A source whose pulls wait until the test answers them, in order. */
function answeredByHand(source: ScriptedSource) {
  const waiting: ((result: PullResult) => void)[] = [];
  source.answer = () => new Promise((resolve) => waiting.push(resolve));
  return { waiting, answerNext: (result: PullResult) => waiting.shift()?.(result) };
}

/** Lets everything that is ready run. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("the age of a snapshot", () => {
  test("younger than allowed asks nobody; at the TTL the source is asked again", async () => {
    const { clock, source, refresh } = await scripted();
    await refresh.refresh(ttlMs, false);
    clock.nowMs += ttlMs;
    await refresh.refresh(ttlMs, false);
    expect(source.pulls).toHaveLength(1);
    clock.nowMs += 1;
    await refresh.refresh(ttlMs, false);
    expect(source.pulls).toHaveLength(2);
  });

  test("of 0 asks the source each time", async () => {
    const { source, refresh } = await scripted();
    for (let index = 0; index < 3; index++) {
      await refresh.refresh(0, false);
    }
    expect(source.pulls).toHaveLength(3);
  });

  test("is counted from the answer, so a slow source is not asked without a pause", async () => {
    const { clock, source, refresh } = await scripted();
    const { answerNext } = answeredByHand(source);
    const first = refresh.refresh(ttlMs, false);
    clock.nowMs += 10 * ttlMs;
    answerNext(observed({ status: RUNNING }));
    await first;
    await refresh.refresh(ttlMs, false);
    expect(source.pulls).toHaveLength(1);
  });
});

describe("callers at the same time", () => {
  test("share one pull, however many they are", async () => {
    const { source, refresh, operation } = await scripted();
    const { answerNext } = answeredByHand(source);
    const callers = Array.from({ length: 500 }, () => refresh.refresh(ttlMs, false));
    await settled();
    expect(source.pulls).toHaveLength(1);
    answerNext(observed({ status: RUNNING, progress: { percentage: 7 } }));
    await Promise.all(callers);
    expect(source.pulls).toHaveLength(1);
    expect(operation.info.progress?.percentage).toBe(7);
  });

  test("that allow no age are not answered by a pull that began before they asked, but share the one after it", async () => {
    const { source, refresh, operation } = await scripted();
    const { answerNext } = answeredByHand(source);
    const first = refresh.refresh(0, false);
    const later = Array.from({ length: 50 }, () => refresh.refresh(0, false));
    answerNext(observed({ status: RUNNING, progress: { percentage: 7 } }));
    await first;
    await settled();
    expect(source.pulls).toHaveLength(2);
    answerNext(observed({ status: RUNNING, progress: { percentage: 8 } }));
    await Promise.all(later);
    expect(source.pulls).toHaveLength(2);
    expect(operation.info.progress?.percentage).toBe(8);
  });

  test("share one pull for metrics, begun after the one without them", async () => {
    const { source, refresh, operation } = await scripted();
    const { answerNext } = answeredByHand(source);
    const state = refresh.refresh(ttlMs, false);
    const metrics = Array.from({ length: 50 }, () => refresh.refresh(ttlMs, true));
    answerNext(observed({ status: RUNNING, metricsCursor: 2n }));
    await state;
    await settled();
    expect(source.pulls.map(({ metrics: wanted }) => wanted)).toEqual([false, true]);
    answerNext(observed({ status: RUNNING, metricsCursor: 2n }, epochs(2)));
    await Promise.all(metrics);
    expect(source.pulls).toHaveLength(2);
    expect(operation.cursor).toBe(2);
  });

  test("are answered by a metrics pull when they only want the state", async () => {
    const { source, refresh } = await scripted();
    const { answerNext } = answeredByHand(source);
    const callers = [refresh.refresh(ttlMs, true), refresh.refresh(ttlMs, false)];
    answerNext(observed({ status: RUNNING }));
    await Promise.all(callers);
    expect(source.pulls).toHaveLength(1);
  });
});

describe("a pull that fails", () => {
  test("is remembered for the TTL like one that succeeds, and told as stale with its reason", async () => {
    const { clock, source, refresh, operation } = await scripted();
    source.answer = () => ({ outcome: "unreachable", reason: "connection refused" });
    await refresh.refresh(ttlMs, false);
    await refresh.refresh(ttlMs, false);
    expect(source.pulls).toHaveLength(1);
    expect(operation.info.freshness).toMatchObject({ stale: true, staleReason: "connection refused" });
    const { revision } = operation.info;
    clock.nowMs += ttlMs + 1;
    await refresh.refresh(ttlMs, false);
    expect(source.pulls).toHaveLength(2);
    expect(operation.info.revision).toBe(revision);
  });

  test("is forgotten by the next one that succeeds", async () => {
    const { clock, source, refresh, operation } = await scripted();
    source.answer = () => ({ outcome: "unreachable", reason: "connection refused" });
    await refresh.refresh(0, false);
    source.answer = () => observed({ status: RUNNING });
    clock.nowMs += 5;
    await refresh.refresh(0, false);
    expect(operation.info).toMatchObject({
      status: RUNNING,
      freshness: { stale: false, staleReason: "", source: FreshnessSource.HOST },
    });
  });

  test("has a deadline of its own", async () => {
    const { source, refresh, operation } = await scripted({ pullTimeoutMs: 20 });
    source.answer = ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    await refresh.refresh(ttlMs, false);
    expect(operation.info.freshness).toMatchObject({
      stale: true,
      staleReason: "host http://host.test:1: no answer within 20 ms",
    });
  });

  test("keeps what was known", async () => {
    const { source, refresh, operation } = await scripted();
    source.answer = () => observed({ status: RUNNING, progress: { percentage: 40 }, warnings: ["w"] });
    await refresh.refresh(0, false);
    source.answer = () => ({ outcome: "unreachable", reason: "gone fishing" });
    await refresh.refresh(0, false);
    expect(operation.info).toMatchObject({ status: RUNNING, progress: { percentage: 40 }, warnings: ["w"] });
  });
});

describe("an operation is lost with its host", () => {
  test("when that could not be reached for host_lost_after, and not a moment earlier", async () => {
    const { clock, source, refresh, operation, store } = await scripted({ hostLostAfterMs: 300_000 });
    source.answer = () => ({ outcome: "unreachable", reason: "connection refused" });
    await refresh.refresh(0, false);
    clock.nowMs += 299_999;
    await refresh.refresh(0, false);
    expect(operation.info.status).toBe(OperationStatus.PENDING);
    clock.nowMs += 1;
    await refresh.refresh(0, false);
    expect(operation.info).toMatchObject({ status: FAILED, error: { reason: "HOST_LOST", code: 14 } });
    expect(operation.info.error?.message).toBe(
      "host http://host.test:1 lost the operation: not reachable for 300 s: connection refused",
    );
    expect((await store.get(operation.operationId))?.info.status).toBe(FAILED);
  });

  test("counted anew after every answer", async () => {
    const { clock, source, refresh, operation } = await scripted({ hostLostAfterMs: 1_000 });
    for (let round = 0; round < 5; round++) {
      source.answer = () => ({ outcome: "unreachable", reason: "connection refused" });
      await refresh.refresh(0, false);
      clock.nowMs += 900;
      source.answer = () => observed({ status: RUNNING });
      await refresh.refresh(0, false);
      clock.nowMs += 900;
    }
    expect(operation.info.status).toBe(RUNNING);
  });

  test("when that denies twice to know it; once is not believed", async () => {
    const { source, refresh, operation } = await scripted();
    const gone: PullResult = { outcome: "gone", reason: "host http://host.test:1 does not know the operation" };
    source.answer = () => gone;
    await refresh.refresh(0, false);
    expect(operation.info.freshness?.stale).toBe(true);
    source.answer = () => observed({ status: RUNNING });
    await refresh.refresh(0, false);
    source.answer = () => gone;
    await refresh.refresh(0, false);
    expect(operation.info.status).toBe(RUNNING);
    await refresh.refresh(0, false);
    expect(operation.info).toMatchObject({ status: FAILED, error: { reason: "HOST_LOST" } });
  });
});

describe("metric records", () => {
  test("are read to the end, page by page, and stored before the cursor moves", async () => {
    const { source, refresh, operation, store } = await scripted();
    const all = epochs(25);
    source.answer = ({ cursor }) =>
      observed({ status: RUNNING, metricsCursor: 25n }, all.slice(cursor, cursor + 10), cursor + 10 < 25);
    await refresh.refresh(0, true);
    expect(source.pulls.map(({ cursor }) => cursor)).toEqual([0, 10, 20]);
    expect(operation.cursor).toBe(25);
    expect((await store.metricsLog(operation.operationId)).cursor).toBe(25);
    expect(await store.readMetrics(operation.operationId, 0, 100)).toHaveLength(25);
  });

  test("are read before a terminal status is shown, although nobody asked for them", async () => {
    const { source, refresh, operation, store } = await scripted();
    const all = epochs(25);
    source.answer = ({ cursor }) =>
      observed({ status: COMPLETED, metricsCursor: 25n }, all.slice(cursor, cursor + 10), cursor + 10 < 25);
    const seen: number[] = [];
    operation.onChange(() => seen.push(operation.cursor));
    await refresh.refresh(0, false);
    expect(operation.info).toMatchObject({ status: COMPLETED, metricsCursor: 25n });
    expect(seen).toEqual([25]);
    expect((await store.metricsLog(operation.operationId)).cursor).toBe(25);
  });

  test("that come twice are stored once", async () => {
    const { source, refresh, operation, store } = await scripted();
    source.answer = () => observed({ status: RUNNING }, epochs(3));
    await refresh.refresh(0, true);
    source.answer = () => observed({ status: RUNNING }, epochs(4));
    await refresh.refresh(0, true);
    const records = await store.readMetrics(operation.operationId, 0, 100);
    expect(records.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4]);
    expect(operation.summary.metrics).toMatchObject({ value: { trends: { epochCount: 4n } } });
  });

  test("that are promised and not sent make the snapshot stale and do not end the operation", async () => {
    const { source, refresh, operation } = await scripted();
    source.answer = () => observed({ status: COMPLETED, metricsCursor: 3n }, [], true);
    await refresh.refresh(0, true);
    expect(operation.info.status).toBe(OperationStatus.PENDING);
    expect(operation.info.freshness).toMatchObject({ stale: true, staleReason: expect.stringContaining("sends none") });
  });
});

test("a host that runs the work again begins a new attempt here, too", async () => {
  const { source, refresh, operation } = await scripted();
  source.answer = () => observed({ status: RUNNING, attempt: 1, progress: { percentage: 80 } });
  await refresh.refresh(0, false);
  source.answer = () => observed({ status: RUNNING, attempt: 2, progress: { percentage: 5 } });
  await refresh.refresh(0, false);
  expect(operation.info).toMatchObject({ attempt: 2, progress: { percentage: 5 } });
});

test("after the end the source is not asked any more, and late answers change nothing", async () => {
  const { source, refresh, operation } = await scripted();
  const { answerNext } = answeredByHand(source);
  const late = refresh.refresh(0, false);
  await settled();
  await operation.change((current) => ({ info: { ...current, status: FAILED, revision: current.revision + 1n } }));
  answerNext(observed({ status: COMPLETED, progress: { percentage: 100 } }));
  await late;
  const ended = operation.info;
  expect(ended.status).toBe(FAILED);
  await refresh.refresh(0, true);
  await refresh.drain();
  expect(source.pulls).toHaveLength(1);
  expect(operation.info).toBe(ended);
});

test("draining reads with a pull that begins after the call", async () => {
  const { source, refresh } = await scripted();
  const { answerNext } = answeredByHand(source);
  const early = refresh.refresh(0, false);
  const drained = refresh.drain();
  answerNext(observed({ status: RUNNING }));
  await early;
  await settled();
  expect(source.pulls.map(({ metrics }) => metrics)).toEqual([false, true]);
  answerNext(observed({ status: RUNNING }));
  await drained;
});
