import { once } from "node:events";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { fromBinary } from "@bufbuild/protobuf";
import { afterEach, describe, expect, test } from "vitest";
import { EpochMetricsSchema } from "../../gen/longhaul/v1/metrics_pb.ts";
import type { MetricRecord } from "../../src/progress/metric-record.ts";
import type { ProgressReading } from "../../src/progress/progress-reader.ts";
import { controlWord, controlWords } from "../../src/progress/shared-memory-layout.ts";
import { SharedProgressBridge } from "../../src/progress/shared-progress-bridge.ts";
import { SharedProgressWriter } from "../../src/progress/shared-progress-writer.ts";
import type { WorkerOrder } from "./progress-worker.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function createBridge(ringBytes = 2 ** 20, cursor = 0): SharedProgressBridge {
  const bridge = new SharedProgressBridge({ operationType: "training", ringBytes, cursor, attempt: 3 });
  cleanups.push(() => bridge.close());
  return bridge;
}

function createPair(
  ringBytes?: number,
  cursor?: number,
): { bridge: SharedProgressBridge; writer: SharedProgressWriter } {
  const bridge = createBridge(ringBytes, cursor);
  return { bridge, writer: new SharedProgressWriter(bridge.memory, { now: () => 1_000 }) };
}

/** Starts the work in a thread and answers what it posts. */
function runWorker(order: WorkerOrder): { answer: Promise<string>; exited: Promise<unknown> } {
  const worker = new Worker(new URL("./progress-worker.ts", import.meta.url), { workerData: order });
  cleanups.push(() => worker.terminate());
  const exited = once(worker, "exit");
  return { answer: once(worker, "message").then(([answer]) => String(answer)), exited };
}

/** Resolves once the writer has found the ring full. */
async function writerWaits({ memory }: SharedProgressBridge): Promise<void> {
  while (Atomics.load(controlWords(memory), controlWord.writerWaits) === 0) await nextTurn();
}

function epochOf(record: MetricRecord): number {
  return fromBinary(EpochMetricsSchema, record.payload).epoch;
}

/** Fails when the fields of a reading do not belong to one write. */
function checkAgreement({ progress }: ProgressReading): number {
  const index = progress.itemsProcessed;
  if (index === undefined) return 0;
  const { index: contextIndex } = progress.context ?? {};
  const agrees =
    progress.percentage === (index / (progress.itemsTotal ?? 0)) * 100 &&
    progress.currentStep === `item ${index}` &&
    progress.currentItem === "é".repeat(index % 50) &&
    contextIndex === index &&
    progress.phasePath?.join("/") === `run/part ${index % 7}`;
  if (!agrees) throw new Error(`torn progress: ${JSON.stringify(progress)}`);
  return index;
}

describe("across a worker thread", () => {
  test("progress written from a worker thread while 8 readers poll is never torn, never goes back, and no metric record is lost or doubled", async () => {
    const records = 1_000_000;
    const bridge = createBridge();
    const { answer } = runWorker({ memory: bridge.memory, work: "write", records, updateEvery: 10 });
    let stored = 0;
    let readings = 0;
    const polls = Array.from({ length: 8 }, async () => {
      let newest = 0;
      let cursor = 0;
      while (stored < records) {
        const reading = bridge.read();
        const index = checkAgreement(reading);
        if (index < newest) throw new Error(`progress went back from ${newest} to ${index}`);
        if (reading.cursor < cursor) throw new Error(`the cursor went back from ${cursor} to ${reading.cursor}`);
        newest = index;
        cursor = reading.cursor;
        readings++;
        for (const record of bridge.recordsAfter(stored, 2_000)) {
          if (record.sequence !== stored + 1 || epochOf(record) !== record.sequence || record.attempt !== 3) {
            throw new Error(`record ${record.sequence} holds epoch ${epochOf(record)} after ${stored} records`);
          }
          stored = record.sequence;
        }
        bridge.release(stored);
        await nextTurn();
      }
    });
    await Promise.all(polls);
    expect(await answer).toBe("written");
    expect(stored).toBe(records);
    expect(bridge.read().cursor).toBe(records);
    expect(checkAgreement(bridge.read())).toBe(records);
    expect(bridge.recordsAfter(0, 10)).toEqual([]);
    expect(readings).toBeGreaterThan(8);
  }, 60_000);

  test("a torn progress is never read while a thread writes without pause", async () => {
    const bridge = createBridge();
    const records = 100_000;
    const { answer } = runWorker({ memory: bridge.memory, work: "write", records, updateEvery: 1 });
    let distinct = 0;
    let newest = 0;
    while (newest < records) {
      for (let reading = 0; reading < 100; reading++) {
        const index = checkAgreement(bridge.read());
        expect(index).toBeGreaterThanOrEqual(newest);
        if (index > newest) distinct++;
        newest = index;
      }
      bridge.release(bridge.read().cursor);
      await nextTurn();
    }
    expect(await answer).toBe("written");
    expect(distinct).toBeGreaterThan(10);
  }, 30_000);

  test("a writer on a full ring waits for the reader and loses nothing", async () => {
    const bridge = createBridge(1_024, 50);
    const records = 500;
    const { answer } = runWorker({ memory: bridge.memory, work: "write", records });
    const epochs: number[] = [];
    while (epochs.length < records) {
      const cursor = 50 + epochs.length;
      if (bridge.read().cursor < 50 + records)
        await bridge.whenCrowded(AbortSignal.timeout(100)).catch(() => undefined);
      epochs.push(...bridge.recordsAfter(cursor, 3).map(epochOf));
      bridge.release(50 + epochs.length);
    }
    expect(epochs).toEqual(Array.from({ length: records }, (_, index) => index + 1));
    expect(await answer).toBe("written");
  });

  test("closing wakes a writer that waits on a full ring, and its record throws", async () => {
    const bridge = createBridge(1_024);
    const { answer } = runWorker({ memory: bridge.memory, work: "write", records: 1_000 });
    await writerWaits(bridge);
    bridge.close();
    expect(await answer).toBe("Error: the progress bridge is closed; no more records are taken");
    expect(bridge.recordsAfter(0, 1)).toHaveLength(1);
  });

  test("a thread can be terminated while it waits on a full ring", async () => {
    const bridge = createBridge(1_024);
    const { exited } = runWorker({ memory: bridge.memory, work: "write", records: 1_000 });
    await writerWaits(bridge);
    await cleanups.pop()?.();
    await exited;
    expect(bridge.recordsAfter(0, 1)).toHaveLength(1);
  });

  test("synchronous code in the thread sees the cancellation and its first reason", async () => {
    const bridge = createBridge();
    const { answer } = runWorker({ memory: bridge.memory, work: "check-cancellation" });
    bridge.cancel("disk füll");
    bridge.cancel("later");
    expect(await answer).toBe("disk füll");
  });

  test("a wait for the cancellation in the thread is woken", async () => {
    const bridge = createBridge();
    const { answer } = runWorker({ memory: bridge.memory, work: "wait-for-cancellation" });
    while (bridge.read().progress.currentStep === undefined) await nextTurn();
    bridge.cancel("enough");
    expect(await answer).toBe("enough");
  });

  test("a wait for the cancellation does not keep the thread alive", async () => {
    const bridge = createBridge();
    const { answer, exited } = runWorker({ memory: bridge.memory, work: "wait-and-end" });
    expect(await answer).toBe("ended");
    expect(await exited).toEqual([0]);
  });
});

describe("reading", () => {
  test("nothing is reported before the first write", () => {
    const { bridge } = createPair(1_024, 7);
    expect(bridge.read()).toEqual({ progress: {}, changedAtMs: 0, warnings: [], cursor: 7 });
  });

  test("a report arrives as it was written, and replaces the one before as a whole", () => {
    const { bridge, writer } = createPair();
    const progress = {
      percentage: 12.5,
      currentStep: "Läuft 🚀",
      stepsCompleted: 0,
      stepsTotal: 4,
      itemsProcessed: 2 ** 40,
      itemsTotal: 2 ** 41,
      currentItem: "",
      context: { nested: { list: [1, "two", null, true] } },
      phasePath: ["a", "b"],
    };
    writer.update(progress);
    expect(bridge.read()).toMatchObject({ progress, changedAtMs: 1_000 });
    for (let write = 0; write < 4; write++) {
      writer.update({ percentage: write });
      expect(bridge.read().progress).toEqual({ percentage: write });
    }
  });

  test("a caller that reuses its object does not change what was written", () => {
    const { bridge, writer } = createPair();
    const progress = { percentage: 1, context: { epoch: 1 }, phasePath: ["one"] };
    for (let epoch = 1; epoch <= 8; epoch++) {
      progress.percentage = epoch;
      progress.context.epoch = epoch;
      progress.phasePath[0] = `epoch ${epoch}`;
      writer.update(progress);
      if (epoch % 2 === 0) {
        expect(bridge.read().progress).toEqual({
          percentage: epoch,
          context: { epoch },
          phasePath: [`epoch ${epoch}`],
        });
      }
    }
  });

  test("long texts are cut at a code point, and a context too large is left out with one warning", () => {
    const { bridge, writer } = createPair();
    const progress = {
      currentStep: `${"x".repeat(1_023)}é`,
      phasePath: ["outer", "y".repeat(3_000)],
      context: { text: "z".repeat(20_000) },
    };
    writer.update(progress);
    writer.update(progress);
    const reading = bridge.read();
    expect(reading.progress).toEqual({ currentStep: "x".repeat(1_023), phasePath: ["outer"] });
    expect(reading.warnings).toEqual(["the progress context is left out: it is larger than 16384 bytes of JSON"]);
  });

  test("the newest 100 warnings are kept, whenever they are read", () => {
    const { bridge, writer } = createPair();
    const written: string[] = [];
    for (let round = 0; round < 40; round++) {
      for (let number = 0; number < round; number++) {
        const warning = `warning ${written.length}`;
        writer.warn(warning);
        written.push(warning);
      }
      expect(bridge.read().warnings).toEqual(written.slice(-100));
    }
  });
});

describe("metric records", () => {
  test("reading again from the same cursor gives the same records until they are released", () => {
    const { bridge, writer } = createPair(4_096, 10);
    for (let epoch = 1; epoch <= 5; epoch++) expect(writer.record("epoch", { epoch })).toBe(10 + epoch);
    const first = bridge.recordsAfter(10, 3);
    expect(first.map((record) => record.sequence)).toEqual([11, 12, 13]);
    expect(bridge.recordsAfter(10, 3)).toEqual(first);
    expect(bridge.recordsAfter(13, 10).map(epochOf)).toEqual([4, 5]);
    bridge.release(12);
    expect(bridge.recordsAfter(10, 10).map(epochOf)).toEqual([3, 4, 5]);
    bridge.release(11);
    bridge.release(99);
    expect(bridge.recordsAfter(10, 10)).toEqual([]);
    expect(bridge.read().cursor).toBe(15);
  });

  test("a record larger than half the ring is refused with the sizes, and the next one is taken", () => {
    const { bridge, writer } = createPair(1_024);
    const values = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`value ${index}`, index]));
    expect(() => writer.record("epoch", { epoch: 1, values })).toThrow(/"epoch" record of \d+ bytes .* ring of 1024/);
    writer.record("epoch", { epoch: 2, values: { one: 1 } });
    expect(bridge.recordsAfter(0, 10).map(epochOf)).toEqual([2]);
  });

  test("records of any size pass through the end of the ring", () => {
    const { bridge, writer } = createPair(1_024);
    let sequence = 0;
    for (let round = 0; round < 300; round++) {
      const values = Object.fromEntries(Array.from({ length: round % 14 }, (_, index) => [`v${index}`, round]));
      writer.record("epoch", { epoch: round, values });
      const [record] = bridge.recordsAfter(sequence, 10);
      expect(record && fromBinary(EpochMetricsSchema, record.payload)).toMatchObject({ epoch: round, values });
      sequence++;
      bridge.release(sequence);
    }
  });

  test("a record of another family is refused and not counted", () => {
    const { bridge, writer } = createPair();
    expect(() => writer.record("bar", { bar: 1 })).toThrow(TypeError);
    expect(bridge.read().cursor).toBe(0);
  });
});

describe("crowding", () => {
  test("a wait ends with the signal's reason and can be repeated", async () => {
    const { bridge, writer } = createPair(1_024);
    for (let wait = 0; wait < 3; wait++) {
      const controller = new AbortController();
      const waiting = bridge.whenCrowded(controller.signal);
      controller.abort(new Error(`stop ${wait}`));
      await expect(waiting).rejects.toThrow(`stop ${wait}`);
    }
    const waiting = bridge.whenCrowded(new AbortController().signal);
    for (let epoch = 0; epoch < 30; epoch++) writer.record("epoch", { epoch });
    await waiting;
    expect(bridge.recordsAfter(0, 100)).toHaveLength(30);
  });

  test("a ring size out of range is refused", () => {
    expect(() => createBridge(100)).toThrow("ringBytes must be 1024 to 1073741824, not 100");
    expect(() => createBridge(Number.NaN)).toThrow(RangeError);
  });
});
