import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { OperationInfoSchema, OperationStatus } from "../gen/longhaul/v1/operation_pb.ts";
import { CreateOperationRequestSchema } from "../gen/longhaul/v1/operations_service_pb.ts";
import type { OperationStore, StoredOperation } from "../src/operations/operation-store.ts";
import { encodeMetric } from "../src/progress/metric-codec.ts";
import type { MetricRecord } from "../src/progress/metric-record.ts";
import { openSqliteStore } from "../src/store/sqlite-store.ts";

const owner = "server-1";

/**
 * How many operations per second the SQLite store makes durable one after the other and many at once, how many it
 * finds, and how many metric records it appends in batches of 1,000. On the disk of the temporary directory.
 */
export function benchStore(): Promise<{ name: string; perSecond: number }[]> {
  return withStore(async (store) => {
    const single = Array.from({ length: 2_000 }, (_, index) => newOperation(`op_training_20250120_093000_s${index}`));
    const many = Array.from({ length: 10_000 }, (_, index) => newOperation(`op_training_20250120_093000_m${index}`));
    const batches = Array.from({ length: 200 }, (_, index) => newRecords(index * 1_000 + 1, 1_000));
    const summary = new Uint8Array(64);
    return [
      await rate("durable creates, one after the other", single.length, async () => {
        for (const operation of single) {
          await store.create(operation);
        }
      }),
      await rate("durable creates, 64 at once", many.length, async () => {
        for (let from = 0; from < many.length; from += 64) {
          await Promise.all(many.slice(from, from + 64).map((operation) => store.create(operation)));
        }
      }),
      await rate("gets", 5 * many.length, async () => {
        for (let round = 0; round < 5; round++) {
          for (const { info } of many) {
            await store.get(info.operationId);
          }
        }
      }),
      await rate("metric records appended, 1,000 at once", batches.length * 1_000, async () => {
        for (const batch of batches) {
          const operationId = "op_training_20250120_093000_s0";
          await store.appendMetrics({ operationId, owner, records: batch, summary });
        }
      }),
    ];
  });
}

async function withStore<T>(body: (store: OperationStore) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), "longhaul-bench-"));
  try {
    const store = await openSqliteStore(join(directory, "longhaul.db"));
    try {
      return await body(store);
    } finally {
      await store.close();
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function rate(
  name: string,
  count: number,
  body: () => Promise<void>,
): Promise<{ name: string; perSecond: number }> {
  const start = performance.now();
  await body();
  return { name, perSecond: (count / (performance.now() - start)) * 1_000 };
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

function newRecords(from: number, count: number): MetricRecord[] {
  return Array.from({ length: count }, (_, index) => ({
    sequence: from + index,
    attempt: 1,
    recordedAtMs: Date.UTC(2025, 0, 20, 9, 30) + from + index,
    kind: "epoch",
    payload: encodeMetric("epoch", { epoch: from + index, trainLoss: 1 / (from + index), valLoss: 2 / (from + index) }),
  }));
}
