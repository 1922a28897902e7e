import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { AnySchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  BarMetricsSchema,
  CustomRecordSchema,
  EpochMetricsSchema,
  type OperationMetrics,
  SegmentMetricsSchema,
  TradeMetricsSchema,
} from "../../gen/longhaul/v1/metrics_pb.ts";
import type { MetricRecord } from "../progress/metric-record.ts";
import { publicSummary } from "./metrics-summary.ts";

/** Puts records and the summary of their run into the message of the run's family. */
export function metricsMessage(summary: OperationMetrics, records: readonly MetricRecord[]): OperationMetrics {
  const message = publicSummary(summary);
  const { metrics } = message;
  for (const record of records) {
    const stamp = {
      sequence: BigInt(record.sequence),
      attempt: record.attempt,
      recordedAt: timestampFromMs(record.recordedAtMs),
    };
    if (metrics.case === "training" && record.kind === "epoch") {
      metrics.value.epochs.push(Object.assign(fromBinary(EpochMetricsSchema, record.payload), stamp));
    } else if (metrics.case === "dataLoad" && record.kind === "segment") {
      metrics.value.segments.push(Object.assign(fromBinary(SegmentMetricsSchema, record.payload), stamp));
    } else if (metrics.case === "backtesting" && record.kind === "bar") {
      metrics.value.bars.push(Object.assign(fromBinary(BarMetricsSchema, record.payload), stamp));
    } else if (metrics.case === "backtesting" && record.kind === "trade") {
      metrics.value.trades.push(Object.assign(fromBinary(TradeMetricsSchema, record.payload), stamp));
    } else if (metrics.case === "custom" && record.kind === "custom") {
      const init: MessageInitShape<typeof CustomRecordSchema> = {
        ...stamp,
        record: fromBinary(AnySchema, record.payload),
      };
      metrics.value.records.push(create(CustomRecordSchema, init));
    }
  }
  return message;
}
