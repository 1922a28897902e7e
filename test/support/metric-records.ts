import { encodeMetric } from "../../src/progress/metric-codec.ts";
import type { MetricKind, MetricRecord, MetricValues } from "../../src/progress/metric-record.ts";

/** Values as records of a log, numbered from `firstSequence`. */
export function metricRecords<K extends MetricKind>(
  kind: K,
  values: readonly MetricValues[K][],
  { firstSequence = 1, attempt = 1, recordedAtMs = 1_000 } = {},
): MetricRecord[] {
  return values.map((value, index) => ({
    kind,
    payload: encodeMetric(kind, value),
    sequence: firstSequence + index,
    attempt,
    recordedAtMs,
  }));
}
