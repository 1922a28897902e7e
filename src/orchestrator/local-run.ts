import type { Any } from "@bufbuild/protobuf/wkt";
import type { Logger } from "pino";
import { operationError } from "../operations/operation-errors.ts";
import type { OperationControl, OperationOutcome } from "../operations/operation-executor.ts";
import type { StoredOperation } from "../operations/operation-store.ts";
import { pause } from "../operations/pause.ts";
import type { ProgressReader } from "../progress/progress-reader.ts";
import type { OperationDefinition } from "./operation-context.ts";
import type { RunOutcome } from "./run-outcome.ts";

/** A run that is about to begin in this process. */
export interface LocalRun {
  readonly stored: StoredOperation;
  readonly definition: OperationDefinition;
  readonly control: OperationControl;
  /** How long cancelled work may take to stop before a worker thread is terminated, in milliseconds. */
  readonly cancellationGraceMs: number;
  /** Aborts when the process stops caring: what still runs is cut off, and a restart settles what becomes of it. */
  readonly closed: AbortSignal;
  readonly log: Logger;
}

/** Steps of a run: what its creator announced, else what its orchestrator did. */
export function totalStepsOf({ stored, definition }: LocalRun): number {
  return Number(stored.request.totalSteps) || definition.totalSteps || 0;
}

/** Has the registry read the bridge whenever much has gathered there, until the signal aborts. */
export async function drainWhenCrowded(run: LocalRun, bridge: ProgressReader, signal: AbortSignal): Promise<void> {
  const { operationId } = run.stored.info;
  while (!signal.aborted) {
    try {
      await bridge.whenCrowded(signal);
      await run.control.drain(operationId);
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      run.log.error({ err: error, operationId }, "metrics could not be stored; the work may have to wait");
      await pause(1_000, signal);
    }
  }
}

/** What the registry is told of a run's end. */
export function operationOutcome(outcome: RunOutcome, result: Any | undefined): OperationOutcome {
  switch (outcome.ended) {
    case "returned":
      return {
        status: "completed",
        ...(outcome.summary && { summary: outcome.summary }),
        ...(result && { result }),
      };
    case "cancelled":
      return { status: "cancelled", forced: false };
    case "threw":
      return { status: "failed", error: operationError("OPERATION_FAILED", outcome.message) };
  }
}
