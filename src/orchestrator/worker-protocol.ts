import type { SharedBridgeMemory } from "../progress/shared-memory-layout.ts";
import type { RunOutcome } from "./run-outcome.ts";

/** What a worker thread is started with. */
export interface WorkerStart {
  /** URL of the module whose exported `operationFunc` is run. */
  readonly moduleUrl: string;
  /** The binary CreateOperationRequest. */
  readonly request: Uint8Array;
  readonly attempt: number;
  readonly totalSteps: number;
  /** Where progress, metrics and the cancellation flag live. */
  readonly memory: SharedBridgeMemory;
}

/** The one message a worker thread sends: how the work ended. All else goes through the shared memory. */
export interface WorkerEnd {
  readonly outcome: RunOutcome;
  /** The binary google.protobuf.Any of the typed result. */
  readonly result?: Uint8Array;
}
