import { fromBinary } from "@bufbuild/protobuf";
import { type OperationMetrics, OperationMetricsSchema } from "../../gen/longhaul/v1/metrics_pb.ts";
import type { MetricRecord } from "../progress/metric-record.ts";
import { infoOf, type KnownOperation } from "./known-operation.ts";
import { metricsMessage } from "./metrics-message.ts";
import { emptySummary } from "./metrics-summary.ts";
import type { OperationStore } from "./operation-store.ts";

/** Bytes of records in one answer, so that it fits into the message size every gRPC client accepts (4 MiB). */
const answerBytes = 2 * 1024 * 1024;

/** Which records are wanted. */
export interface MetricsQuery {
  /** Sequence of the last record the caller has. */
  readonly cursor: number;
  /** The most records to answer. */
  readonly maxRecords: number;
  /** The newest ones instead of the oldest. */
  readonly latest: boolean;
}

/** Metric records and where to go on. */
export interface MetricsPage {
  readonly metrics: OperationMetrics;
  /** At least the query's cursor. */
  readonly newCursor: number;
  readonly hasMore: boolean;
}

/** Reads a page of an operation's stored metrics log. */
export async function readMetrics(
  store: OperationStore,
  known: KnownOperation,
  query: MetricsQuery,
): Promise<MetricsPage> {
  const { operationId } = infoOf(known);
  const { end, summary } = await logOf(store, known);
  const after = query.latest ? Math.max(query.cursor, end - query.maxRecords) : query.cursor;
  const records = after < end ? fitting(await store.readMetrics(operationId, after, query.maxRecords)) : [];
  const newCursor = records.at(-1)?.sequence ?? query.cursor;
  return { metrics: metricsMessage(summary, records), newCursor, hasMore: newCursor < end };
}

async function logOf(store: OperationStore, known: KnownOperation) {
  if (known.kind === "own") {
    return { end: known.operation.cursor, summary: known.operation.summary };
  }
  const { operationId, operationType } = infoOf(known);
  const log = await store.metricsLog(operationId);
  const summary =
    log.summary.length > 0 ? fromBinary(OperationMetricsSchema, log.summary) : emptySummary(operationType);
  return { end: log.cursor, summary };
}

/** The first records that fit into one answer; at least one. */
function fitting(records: readonly MetricRecord[]): readonly MetricRecord[] {
  // Sequence, attempt, time and the framing take some 40 bytes beside the payload.
  let bytes = 0;
  const tooMuch = records.findIndex((record, index) => {
    bytes += record.payload.length + 40;
    return bytes > answerBytes && index > 0;
  });
  return tooMuch < 0 ? records : records.slice(0, tooMuch);
}
