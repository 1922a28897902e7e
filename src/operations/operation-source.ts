import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import type { MetricRecord } from "../progress/metric-record.ts";
import type { ProgressWriter } from "../progress/progress-update.ts";

/**
 * Where the state of one operation is produced: a bridge in this process or a host. The registry pulls from it when
 * somebody asks, and does not know which of the two it holds.
 */
export interface OperationSource {
  /** URL of the host; empty when the work runs in this process. */
  readonly host: string;
  /**
   * Asks for the state, and for the metric records after `cursor` when `metrics` is set. A source to which records
   * cost nothing may return them unasked; a source whose work has ended returns them always. Expected trouble is a
   * value; it throws only the signal's reason.
   */
  pull(request: PullRequest): Promise<PullResult>;
  /** Passes a cancellation on and says whether it arrived. Safe to repeat. */
  cancel(request: CancelRequest): Promise<CancelDelivery>;
  /**
   * Resolves when the state may have changed, or after a while. Unset when the source cannot tell; the registry then
   * pulls once per TTL while somebody waits.
   */
  readonly waitForChange?: (signal: AbortSignal) => Promise<void>;
  /** The writing end, when the work may write its progress through the registry. Unset for hosts and worker threads. */
  readonly writer?: ProgressWriter;
  /** Frees what the source holds, once the operation has ended or turns out not to begin. Safe to repeat. */
  close(): void;
}

/** What a pull asks for. */
export interface PullRequest {
  /** Sequence of the last metric record the registry has stored. */
  readonly cursor: number;
  /** Whether the records after it are wanted. */
  readonly metrics: boolean;
  /**
   * The registry keeps no more records: none are to be returned, whatever `metrics` says, and those the source has need
   * not be kept for it. Default false.
   */
  readonly dropsRecords?: boolean;
  /** How old an observation may be that the source itself has made elsewhere, in milliseconds. */
  readonly maxStalenessMs: number;
  /** Ends the pull. */
  readonly signal: AbortSignal;
}

/** The outcome of a pull. */
export type PullResult =
  /** The state, as the source knows it. */
  | {
      readonly outcome: "observed";
      /**
       * Status, progress, warnings, error, result, times and metrics_cursor are taken from it; what the registry owns
       * (id, labels, revision, retention, …) is not.
       */
      readonly info: OperationInfo;
      /** Records after the cursor, oldest first, without gaps. */
      readonly records: readonly MetricRecord[];
      /** There are more records than these. */
      readonly hasMore: boolean;
    }
  /** The source did not answer, or is there and will not tell (`isThere`); the operation may well go on. */
  | { readonly outcome: "unreachable"; readonly reason: string; readonly isThere?: boolean }
  /** The source answered that it does not know the operation. */
  | { readonly outcome: "gone"; readonly reason: string };

/** What a cancellation says. */
export interface CancelRequest {
  /** The first caller's reason. */
  readonly reason: string;
  /** Do not wait for the work: terminate it. */
  readonly force: boolean;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
}

/** Whether a cancellation arrived where the work runs. */
export type CancelDelivery =
  | { readonly outcome: "delivered" }
  | { readonly outcome: "unreachable"; readonly reason: string }
  | { readonly outcome: "gone"; readonly reason: string };
