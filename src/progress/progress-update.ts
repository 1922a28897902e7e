import type { JsonObject } from "@bufbuild/protobuf";
import type { MetricKind, MetricValues } from "./metric-record.ts";

/**
 * What the work reports of its progress. Each report replaces the one before as a whole: a field left out is unset.
 * The fields are those of `longhaul.v1.OperationProgress`, with plain numbers.
 */
export interface ProgressUpdate {
  /** 0 to 100. The registry clamps it and never lets it go back. */
  readonly percentage?: number;
  /** What is being done now, for people. */
  readonly currentStep?: string;
  /** Steps done so far. */
  readonly stepsCompleted?: number;
  /** Steps in all; 0 or unset means unknown. */
  readonly stepsTotal?: number;
  /** Items done so far, in the unit of the current step. */
  readonly itemsProcessed?: number;
  /** Items in all; 0 or unset means unknown. */
  readonly itemsTotal?: number;
  /** The item being worked on. */
  readonly currentItem?: string;
  /** Details of the domain; must be plain JSON. */
  readonly context?: JsonObject;
  /** Names of the nested steps now open, outermost first. */
  readonly phasePath?: readonly string[];
}

/** The writing end of a bridge: what the work holds. Every method is synchronous and does no I/O. */
export interface ProgressWriter {
  /** Replaces the progress. */
  update(progress: ProgressUpdate): void;
  /**
   * Appends a metric record and returns its sequence.
   * Throws a TypeError when the operation's type keeps another family of metrics.
   */
  record<K extends MetricKind>(kind: K, value: MetricValues[K]): number;
  /** Adds a warning, something that went wrong without ending the work. The newest 100 are kept. */
  warn(message: string): void;
}
