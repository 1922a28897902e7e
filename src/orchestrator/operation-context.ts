import type { JsonObject } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { OperationMetadata } from "../../gen/longhaul/v1/operation_pb.ts";
import type { CancellationToken } from "../cancellation/cancellation-token.ts";
import type { MetricKind, MetricValues } from "../progress/metric-record.ts";
import type { ProgressManager } from "../progress/progress-manager.ts";
import type { ProgressUpdate } from "../progress/progress-update.ts";

/** What a running operation is given; the same in the process and in a worker thread. */
export interface OperationContext {
  readonly operationId: string;
  readonly operationType: string;
  readonly operationName: string;
  /** Which run this is, from 1. */
  readonly attempt: number;
  /** What the operation works on, as its creator said. */
  readonly metadata: OperationMetadata;
  /** `metadata.parameters`; empty when none were given. */
  readonly parameters: JsonObject;
  /** Steps the creator announced; 0 when unknown. */
  readonly totalSteps: number;
  /** Cancelled when the operation or the whole process is. */
  readonly token: CancellationToken;
  /** Hierarchical progress; what it computes goes to `updateProgress`. */
  readonly progress: ProgressManager;
  /** Replaces the operation's progress. Synchronous, well under a microsecond. */
  updateProgress(progress: ProgressUpdate): void;
  /** Appends a metric record. Synchronous; throws a TypeError for a record of another type's family. */
  record<K extends MetricKind>(kind: K, value: MetricValues[K]): void;
  /** Notes something that went wrong without ending the work. */
  warn(message: string): void;
  /** Sets the operation's typed result. The last one counts. */
  setResult(result: Any): void;
}

/**
 * The work of an operation. What it returns becomes `result_summary`; what it throws fails the operation, except a
 * `CancellationError` (or the token signal's AbortError) after a cancellation, which acknowledges it.
 */
export type OperationFunc = (operationId: string, context: OperationContext) => Promise<JsonObject | undefined>;

/** How an orchestrator runs operations of one type: exactly one of operationFunc and workerModule. */
export type OperationDefinition = OperationWork & {
  /** Steps when the creator announces none. Default 0, unknown. */
  readonly totalSteps?: number;
  /** Run again, with attempt + 1, when the process was restarted in the middle of it. Default false: it FAILED. */
  readonly restartable?: boolean;
};

/** Where the work is: a function of this process, or a module whose exported `operationFunc` runs in a worker thread. */
export type OperationWork =
  | { readonly operationFunc: OperationFunc; readonly workerModule?: never }
  | { readonly workerModule: URL; readonly operationFunc?: never };
