import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type {
  BarMetricsSchema,
  EpochMetricsSchema,
  SegmentMetricsSchema,
  TradeMetricsSchema,
} from "../../gen/longhaul/v1/metrics_pb.ts";

/** What the work may record, by kind. `sequence`, `attempt` and `recordedAt` are set by the registry and ignored. */
export interface MetricValues {
  /** One epoch of a training. */
  epoch: MessageInitShape<typeof EpochMetricsSchema>;
  /** One segment of a data load. */
  segment: MessageInitShape<typeof SegmentMetricsSchema>;
  /** One bar a backtest has passed. */
  bar: MessageInitShape<typeof BarMetricsSchema>;
  /** One trade of a backtest. */
  trade: MessageInitShape<typeof TradeMetricsSchema>;
  /** A record of the work's own type. */
  custom: Any;
}

/** The kinds of metric records. */
export type MetricKind = keyof MetricValues;

/**
 * One record of an operation's metrics log as bridges, hosts and stores pass it on.
 *
 * The payload stays encoded between the work that wrote it and the client that reads it.
 */
export interface MetricRecord {
  /** Position in the operation's log, from 1, without gaps over all kinds and attempts. */
  readonly sequence: number;
  /** The attempt that wrote the record, from 1. */
  readonly attempt: number;
  /** When the work wrote it, in milliseconds since the epoch. */
  readonly recordedAtMs: number;
  /** Which message the payload holds. */
  readonly kind: MetricKind;
  /** The binary message of that kind, without sequence, attempt and recorded_at. */
  readonly payload: Uint8Array;
}
