import { DatabaseSync } from "node:sqlite";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { OperationInfoSchema, OperationStatus } from "../gen/longhaul/v1/operation_pb.ts";
import { CreateOperationRequestSchema } from "../gen/longhaul/v1/operations_service_pb.ts";
import type { StoredOperation } from "../src/operations/operation-store.ts";
import { encodeMetric } from "../src/progress/metric-codec.ts";
import { rowFromOperation } from "../src/store/operation-rows.ts";
import { openSqliteStore } from "../src/store/sqlite-store.ts";

const { PENDING, RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;

/** Who owns what is running in a filled store. */
export const filledOwner = "server-1";
/** When its first operation was created; one came every second. */
export const filledFromMs = Date.UTC(2026, 0, 1);
/** The records of each log. Every hundredth operation has one. */
export const recordsPerLog = 100;
/** How many operations have what is rare, in a store of any size. */
export const rareOperations = 10;

const rowsPerTransaction = 10_000;

/** The id of the operation that was created as the n-th. */
export function filledId(index: number): string {
  return `op_${typeOf(index)}_20260101_000000_${index.toString(36).padStart(8, "0")}`;
}

/**
 * Makes a SQLite file with so many operations of the size that trainings have, in ten of which one runs and the others
 * have ended. It is written past the store, because a million durable creates would take minutes.
 */
export async function fillStore(path: string, operations: number): Promise<void> {
  await (await openSqliteStore(path)).close();
  const database = new DatabaseSync(path);
  database.exec("pragma journal_mode = wal; pragma synchronous = off; pragma cache_size = -262144");
  const insert = inserter(database, "operations", Object.keys(rowFromOperation(operationAt(0, operations))));
  const insertLabel = inserter(database, "operation_labels", ["operation_id", "key", "value", "created_at"]);
  const insertLog = inserter(database, "metric_logs", ["operation_id", "log_id", "cursor", "summary"]);
  const recordColumns = ["log_id", "sequence", "attempt", "recorded_at", "kind", "payload"];
  const insertRecord = inserter(database, "metric_records", recordColumns);
  for (let index = 0; index < operations; index++) {
    if (index % rowsPerTransaction === 0) {
      database.exec(index === 0 ? "begin" : "commit; begin");
    }
    const row = rowFromOperation(operationAt(index, operations));
    insert(Object.values(row));
    for (const [key, value] of Object.entries(labelsAt(index, operations))) {
      insertLabel([row.operation_id, key, value, row.created_at]);
    }
    if (index % 100 === 0) {
      insertLog([row.operation_id, `log${index}`, recordsPerLog, new Uint8Array()]);
      for (let epoch = 1; epoch <= recordsPerLog; epoch++) {
        const payload = encodeMetric("epoch", { epoch, trainLoss: 1 / epoch, valLoss: 2 / epoch });
        insertRecord([`log${index}`, epoch, 1, row.created_at + epoch, "epoch", payload]);
      }
    }
  }
  database.exec(`
    insert into operation_counts (operation_type, status, operations)
      select operation_type, status, count(*) from operations group by operation_type, status;
    commit
  `);
  database.close();
}

type Value = string | number | bigint | null | Uint8Array;

function inserter(database: DatabaseSync, table: string, columns: readonly string[]): (values: Value[]) => void {
  const marks = columns.map(() => "?").join(", ");
  const statement = database.prepare(`insert into ${table} (${columns.join(", ")}) values (${marks})`);
  return (values) => void statement.run(...values);
}

/** Whether the operation is one of the few that are rare in some way; which way, `kind` says. */
function isRare(index: number, operations: number, kind: number): boolean {
  return (index + kind) % Math.floor(operations / rareOperations) === 0;
}

function typeOf(index: number): string {
  return ["training", "training", "data_load", "training", "backtesting"][index % 5] ?? "training";
}

function operationTypeAt(index: number, operations: number): string {
  return isRare(index, operations, 1) ? "tuning" : typeOf(index);
}

function statusAt(index: number, operations: number): OperationStatus {
  if (isRare(index, operations, 2)) {
    return PENDING;
  }
  const digit = (index * 7) % 100;
  // No data_load has failed, so that each of them is frequent and both together match nothing.
  return digit < 10
    ? RUNNING
    : digit < 86 || typeOf(index) === "data_load"
      ? COMPLETED
      : digit < 96
        ? FAILED
        : CANCELLED;
}

function labelsAt(index: number, operations: number): Record<string, string> {
  const team = ["research", "execution", "risk", "data"][Math.floor(index / 5) % 4] ?? "data";
  return {
    team,
    // Only research, of which no operation is staged.
    ...(team === "research" ? {} : { stage: index % 2 === 0 ? "prod" : "dev" }),
    ...(isRare(index, operations, 3) && { experiment: "one" }),
  };
}

function operationAt(index: number, operations: number): StoredOperation {
  const createdAtMs = filledFromMs + index * 1_000;
  const status = statusAt(index, operations);
  const operationType = operationTypeAt(index, operations);
  const labels = labelsAt(index, operations);
  const hasEnded = status !== PENDING && status !== RUNNING;
  const parameters = { epochs: 100, learning_rate: 0.001, batch_size: 64, layers: [128, 64, 32], dropout: 0.2 };
  const metadata = {
    symbol: "AAPL",
    timeframe: "1h",
    startDate: timestampFromMs(Date.UTC(2020, 0, 1)),
    endDate: timestampFromMs(filledFromMs),
    parameters,
  };
  const operationName = `Train on AAPL, run ${index}`;
  const parentOperationId = isRare(index, operations, 4) ? filledId(0) : "";
  return {
    info: create(OperationInfoSchema, {
      operationId: filledId(index),
      operationType,
      operationName,
      status,
      parentOperationId,
      labels,
      metadata,
      createdAt: timestampFromMs(createdAtMs),
      progress: { percentage: hasEnded ? 100 : 42.5, currentStep: "epochs", stepsTotal: 100n, stepsCompleted: 42n },
      attempt: 1,
      revision: BigInt(createdAtMs),
      ...(status !== PENDING && { startedAt: timestampFromMs(createdAtMs + 100) }),
      ...(hasEnded && {
        completedAt: timestampFromMs(createdAtMs + 60_000),
        expiresAt: timestampFromMs(createdAtMs + 365 * 24 * 3_600_000),
        resultSummary: { best_epoch: 87, best_val_loss: 0.0123, model: `s3://models/${index}` },
      }),
      metricsCursor: BigInt(index % 100 === 0 ? recordsPerLog : 0),
    }),
    request: create(CreateOperationRequestSchema, {
      operationType,
      operationName,
      metadata,
      labels,
      requestId: `request-${index}`,
    }),
    payloadHash: "k7ZbYtWmT1oQ0m5m8R9xq3s2v1u0",
    dispatched: status !== PENDING,
    owner: hasEnded ? "" : filledOwner,
  };
}
