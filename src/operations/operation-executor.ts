import type { JsonObject } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { OperationError } from "../../gen/longhaul/v1/operation_pb.ts";
import type { CancellationToken } from "../cancellation/cancellation-token.ts";
import type { CallOrigin } from "./call-origin.ts";
import type { OperationSource } from "./operation-source.ts";
import type { StoredOperation } from "./operation-store.ts";

/** What runs operations: an orchestrator of this process or a host. It acts on the registry through `OperationControl`. */
export interface OperationExecutor {
  /** URL of the host; empty when the work runs in this process. */
  readonly host: string;
  /**
   * Takes over a stored operation and returns at once. Told again after a restart, for operations that it has not
   * accepted, or that it said are restartable.
   */
  dispatch(operation: StoredOperation, control: OperationControl, circumstances: DispatchCircumstances): void;
  /**
   * Takes back an operation that waits for its turn. False when its work may have begun already, so that only a
   * delivered cancellation can end it; then it is still being given to where it runs, unless `force` is set.
   */
  withdraw(operationId: string, force: boolean): boolean;
  /** Finds the work of a dispatched operation after a restart, or says that it died with the process. */
  recover(operation: StoredOperation): Recovery;
}

/** What dispatching may have to take into account. */
export interface DispatchCircumstances {
  /** How the creating call came here; after a restart only its trace is known. */
  readonly origin: CallOrigin;
  /** The server was restarted since it was first dispatched, so the work may have been begun before. */
  readonly again: boolean;
}

/** What has become of the work of a dispatched operation after a restart. */
export type Recovery =
  /** It goes on and can be asked. */
  | { readonly outcome: "attached"; readonly source: OperationSource }
  /** It died with the process and may be run again. */
  | { readonly outcome: "restartable" }
  /** It died with the process. */
  | { readonly outcome: "lost" };

/** The registry as executors see it. */
export interface OperationControl {
  /** The operation's token; the same one each time. */
  tokenFor(operationId: string): CancellationToken;
  /**
   * The work begins in this process: its source is made, RUNNING is stored, then this resolves with true. False when
   * the operation is not to be begun any more; the executor drops it.
   */
  start(operationId: string, createSource: (run: OperationRun) => OperationSource): Promise<boolean>;
  /** The host has accepted the operation; its source says the rest. Resolves when that is stored. */
  accepted(operationId: string, source: OperationSource): Promise<void>;
  /** The host has not answered yet, and why; shown to callers. */
  waiting(operationId: string, reason: string): void;
  /** The source has much to read. */
  drain(operationId: string): Promise<void>;
  /**
   * The work has ended. Resolves when that is stored, or the operation turns out to have ended before. `attempt` says
   * which run it was; the end of one that this server had to give up counts for nothing. Default: the newest.
   */
  finish(operationId: string, outcome: OperationOutcome, attempt?: number): Promise<void>;
}

/** A run of the work that is about to begin. */
export interface OperationRun {
  /** Which run this is, from 1. */
  readonly attempt: number;
  /** Sequence of the last metric record of earlier runs; 0 when there is none. */
  readonly cursor: number;
}

/** How the work ended. */
export type OperationOutcome =
  | { readonly status: "completed"; readonly summary?: JsonObject; readonly result?: Any }
  | { readonly status: "failed"; readonly error: OperationError }
  /** It stopped because of a cancellation; `forced` when it was made to. */
  | { readonly status: "cancelled"; readonly forced: boolean };
