import { type DescMessage, type JsonObject, type MessageShape, toJson } from "@bufbuild/protobuf";
import {
  BarMetricsSchema,
  CustomRecordSchema,
  EpochMetricsSchema,
  type OperationMetrics,
  SegmentMetricsSchema,
  TradeMetricsSchema,
} from "../../gen/longhaul/v1/metrics_pb.ts";
import { anyJson } from "./message-json.ts";

interface MetricLine {
  readonly sequence: bigint;
  readonly json: JsonObject;
}

/** The records of a page as protobuf JSON, each with its kind, in the order of their sequence. */
export function metricLines({ metrics }: OperationMetrics): JsonObject[] {
  switch (metrics.case) {
    case "training":
      return metrics.value.epochs.map((record) => line("epoch", EpochMetricsSchema, record).json);
    case "dataLoad":
      return metrics.value.segments.map((record) => line("segment", SegmentMetricsSchema, record).json);
    case "backtesting": {
      const bars = metrics.value.bars.map((record) => line("bar", BarMetricsSchema, record));
      const trades = metrics.value.trades.map((record) => line("trade", TradeMetricsSchema, record));
      return [...bars, ...trades].sort((a, b) => Number(a.sequence - b.sequence)).map(({ json }) => json);
    }
    case "custom":
      return metrics.value.records.map(({ record, ...rest }) => ({
        ...line("custom", CustomRecordSchema, rest).json,
        ...(record && { record: anyJson(record) }),
      }));
    default:
      return [];
  }
}

function line<Desc extends DescMessage>(
  kind: string,
  schema: Desc,
  record: MessageShape<Desc> & { readonly sequence: bigint },
): MetricLine {
  return { sequence: record.sequence, json: { kind, ...(toJson(schema, record) as JsonObject) } };
}
