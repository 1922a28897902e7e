import type { CreateLimits } from "./create-limits.ts";

/** The registry's settings; `config.ts` has their defaults. Times are in milliseconds. */
export interface OperationsOptions extends CreateLimits {
  /** How old a snapshot may be before a Get refreshes it. 0 refreshes with every Get. */
  readonly cacheTtlMs: number;
  /** How long one pull from a source may take. */
  readonly pullTimeoutMs: number;
  /** Time between two sweeps over what nobody has asked about. */
  readonly sweepIntervalMs: number;
  /** How long the record of an ended operation is kept, unless its creator said otherwise. */
  readonly retentionMs: number;
  /** How long it is remembered that an operation has expired. */
  readonly tombstoneRetentionMs: number;
  /** How long a host may be unreachable before its operations count as lost. */
  readonly hostLostAfterMs: number;
  /** Waits that may be open at once. */
  readonly maxWaiters: number;
  /** The most metric records to keep of one operation. */
  readonly maxMetricRecords: number;
  /** The clock: milliseconds since the epoch. */
  readonly now: () => number;
}
