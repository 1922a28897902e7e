import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { OperationInfoSchema, OperationStatus } from "../gen/longhaul/v1/operation_pb.ts";
import { CreateOperationRequestSchema } from "../gen/longhaul/v1/operations_service_pb.ts";
import type { OperationStore, StoredOperation } from "../src/operations/operation-store.ts";
import { encodeMetric } from "../src/progress/metric-codec.ts";
import type { MetricRecord } from "../src/progress/metric-record.ts";
import { openSqliteStore } from "../src/store/sqlite-store.ts";
import { temporaryDirectory } from "./harness/leftovers.ts";
import type { BenchOptions, Row } from "./harness/row.ts";
import { ratios, spread } from "./harness/statistics.ts";

const owner = "server-1";
const callers = 64;
const recordsPerBatch = 1_000;

/**
 * How many operations per second the SQLite store makes durable one after the other and 64 at once, how many it finds,
 * and how many metric records it appends. In this process, on the disk of the temporary directory.
 */
export async function benchStoreInProcess({ quick }: BenchOptions): Promise<readonly Row[]> {
  const rounds = quick ? 3 : 9;
  const store = await openSqliteStore(join(temporaryDirectory(), "longhaul.db"));
  try {
    const samples = { single: [] as number[], many: [] as number[], gets: [] as number[], appends: [] as number[] };
    for (let round = 0; round < rounds; round++) {
      const single = newOperations(`r${round}s`, quick ? 200 : 1_000);
      const many = newOperations(`r${round}m`, callers * (quick ? 10 : 100));
      samples.single.push(await rate(single.length, () => eachAfterTheOther(store, single)));
      samples.many.push(await rate(many.length, () => manyAtOnce(store, many)));
      samples.gets.push(
        await rate(many.length, async () => {
          for (const { info } of many) {
            await store.get(info.operationId);
          }
        }),
      );
      samples.appends.push(await appendRate(store, round, quick ? 10 : 50));
    }
    const creates = "Durable creates in the SQLite store, in the process";
    const one = "one after the other";
    return [
      { question: creates, subject: one, unit: "per s", value: spread(samples.single) },
      {
        question: creates,
        subject: `${callers} at once`,
        unit: "per s",
        value: spread(samples.many),
        ratios: [{ to: one, of: spread(ratios(samples.many, samples.single)) }],
      },
      {
        question: "Gets from the SQLite store, in the process",
        subject: "Gets",
        unit: "per s",
        value: spread(samples.gets),
      },
      {
        question: "Metric records appended to the SQLite store, in the process",
        subject: `${recordsPerBatch.toLocaleString("en")} at once`,
        unit: "per s",
        value: spread(samples.appends),
      },
    ];
  } finally {
    await store.close();
  }
}

async function eachAfterTheOther(store: OperationStore, operations: readonly StoredOperation[]): Promise<void> {
  for (const operation of operations) {
    await store.create(operation);
  }
}

async function manyAtOnce(store: OperationStore, operations: readonly StoredOperation[]): Promise<void> {
  for (let from = 0; from < operations.length; from += callers) {
    await Promise.all(operations.slice(from, from + callers).map((operation) => store.create(operation)));
  }
}

/** The records of a round belong to its first operation. */
async function appendRate(store: OperationStore, round: number, batches: number): Promise<number> {
  const operationId = operationIdOf(`r${round}s`, 0);
  const summary = new Uint8Array(64);
  const all = Array.from({ length: batches }, (_, index) => newRecords(index * recordsPerBatch + 1));
  return rate(batches * recordsPerBatch, async () => {
    for (const records of all) {
      await store.appendMetrics({ operationId, owner, records, summary });
    }
  });
}

/** How many of something per second a body does that does `count` of it. */
export async function rate(count: number, body: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await body();
  return (count / (performance.now() - startedMs)) * 1_000;
}

function operationIdOf(prefix: string, index: number): string {
  return `op_training_20250120_093000_${prefix}${index}`;
}

/** New operations, whose ids begin alike. */
export function newOperations(prefix: string, count: number): StoredOperation[] {
  return Array.from({ length: count }, (_, index) => newOperation(operationIdOf(prefix, index)));
}

function newOperation(operationId: string): StoredOperation {
  const metadata = { symbol: "AAPL", timeframe: "1h", parameters: { epochs: 100, learning_rate: 0.001 } };
  return {
    info: create(OperationInfoSchema, {
      operationId,
      operationType: "training",
      operationName: "Train on AAPL",
      status: OperationStatus.PENDING,
      labels: { team: "research" },
      metadata,
      createdAt: timestampFromMs(Date.UTC(2025, 0, 20, 9, 30)),
      progress: { stepsTotal: 100n },
      attempt: 1,
      revision: 1n,
    }),
    request: create(CreateOperationRequestSchema, { operationType: "training", requestId: operationId, metadata }),
    payloadHash: "k7ZbYtWmT1oQ0m5m8R9xq3s2v1u0",
    dispatched: false,
    owner,
  };
}

function newRecords(from: number): MetricRecord[] {
  return Array.from({ length: recordsPerBatch }, (_, index) => ({
    sequence: from + index,
    attempt: 1,
    recordedAtMs: Date.UTC(2025, 0, 20, 9, 30) + from + index,
    kind: "epoch",
    payload: encodeMetric("epoch", { epoch: from + index, trainLoss: 1 / (from + index), valLoss: 2 / (from + index) }),
  }));
}
