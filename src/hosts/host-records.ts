import { create } from "@bufbuild/protobuf";
import { AnySchema, type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { OperationMetrics } from "../../gen/longhaul/v1/metrics_pb.ts";
import { encodeMetric } from "../progress/metric-codec.ts";
import type { MetricKind, MetricRecord, MetricValues } from "../progress/metric-record.ts";

/**
 * The records of a host's answer, in the order of their sequence and checked to follow `cursor` without a gap.
 *
 * A host that does not number its records gets them numbered in the order it sent them. Answers a text that says what
 * is wrong when the numbers it gave have a gap: records would be lost.
 */
export function hostRecords(metrics: OperationMetrics | undefined, cursor: number): MetricRecord[] | string {
  const records = allRecords(metrics);
  if (records.every(({ sequence }) => sequence === 0)) {
    return records.map((record, index) => ({ ...record, sequence: cursor + 1 + index }));
  }
  const sorted = records.filter(({ sequence }) => sequence > cursor).sort((a, b) => a.sequence - b.sequence);
  const gap = sorted.findIndex(({ sequence }, index) => sequence !== cursor + 1 + index);
  return gap < 0 ? sorted : `sent metric record ${sorted[gap]?.sequence} where ${cursor + 1 + gap} was due`;
}

interface Stamped {
  readonly sequence: bigint;
  readonly attempt: number;
  readonly recordedAt?: Timestamp | undefined;
}

function allRecords(message: OperationMetrics | undefined): MetricRecord[] {
  const metrics = message?.metrics;
  switch (metrics?.case) {
    case "training":
      return metrics.value.epochs.map((epoch) => record("epoch", epoch, epoch));
    case "dataLoad":
      return metrics.value.segments.map((segment) => record("segment", segment, segment));
    case "backtesting":
      return [
        ...metrics.value.bars.map((bar) => record("bar", bar, bar)),
        ...metrics.value.trades.map((trade) => record("trade", trade, trade)),
      ];
    case "custom":
      return metrics.value.records.map((custom) => record("custom", custom.record ?? create(AnySchema), custom));
    default:
      return [];
  }
}

function record<K extends MetricKind>(kind: K, value: MetricValues[K], stamp: Stamped): MetricRecord {
  return {
    kind,
    payload: encodeMetric(kind, value),
    sequence: Number(stamp.sequence),
    attempt: stamp.attempt || 1,
    recordedAtMs: stamp.recordedAt ? timestampMs(stamp.recordedAt) : Date.now(),
  };
}
