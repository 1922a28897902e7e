import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import {
  BarMetricsSchema,
  EpochMetricsSchema,
  SegmentMetricsSchema,
  TradeMetricsSchema,
} from "../../gen/longhaul/v1/metrics_pb.ts";
import { compileFlatEncoder, type FlatMessageEncoder } from "./flat-message-encoder.ts";
import type { MetricKind, MetricValues } from "./metric-record.ts";

/** The message a record's payload holds, by kind. */
export const metricSchemas = {
  epoch: EpochMetricsSchema,
  segment: SegmentMetricsSchema,
  bar: BarMetricsSchema,
  trade: TradeMetricsSchema,
  custom: AnySchema,
} as const satisfies Record<MetricKind, DescMessage>;

const setByRegistry = ["sequence", "attempt", "recordedAt"];
const unset = { sequence: 0n, attempt: 0, recordedAt: undefined };
const flatEncoders: Readonly<Record<MetricKind, FlatMessageEncoder>> = {
  epoch: compileFlatEncoder(EpochMetricsSchema, setByRegistry),
  segment: compileFlatEncoder(SegmentMetricsSchema, setByRegistry),
  bar: compileFlatEncoder(BarMetricsSchema, setByRegistry),
  trade: compileFlatEncoder(TradeMetricsSchema, setByRegistry),
  custom: compileFlatEncoder(AnySchema),
};

/** Room enough for every record that `encodeMetricInto` can write, in bytes. */
export const maxFlatMetricBytes = Math.max(...Object.values(flatEncoders).map((encoder) => encoder.maxBytes));

const scratch = new Uint8Array(maxFlatMetricBytes);
const scratchView = new DataView(scratch.buffer);

/**
 * Encodes a record as the binary message of its kind, without sequence, attempt and recorded_at.
 * Throws an Error naming the field when a value does not fit it, such as an epoch of 1.5.
 */
export function encodeMetric<K extends MetricKind>(kind: K, value: MetricValues[K]): Uint8Array<ArrayBuffer> {
  const end = encodeMetricInto(kind, value, scratchView, 0);
  return end < 0 ? encodeAnyMetric(kind, value) : scratch.slice(0, end);
}

/**
 * Encodes a record of plain numbers at `offset`, where `maxFlatMetricBytes` must be free, and returns the end.
 * Returns -1 for a record that only `encodeMetric` can encode.
 */
export function encodeMetricInto<K extends MetricKind>(
  kind: K,
  value: MetricValues[K],
  target: DataView,
  offset: number,
): number {
  return flatEncoders[kind].encode(value, target, offset);
}

function encodeAnyMetric<K extends MetricKind>(kind: K, value: MetricValues[K]): Uint8Array<ArrayBuffer> {
  const schema: DescMessage = metricSchemas[kind];
  return toBinary(
    schema,
    create(schema, { ...value, ...unset, $typeName: undefined } as MessageInitShape<DescMessage>),
  );
}
