import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import type { Logger } from "pino";
import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import type {
  CreateOperationRequest,
  CreateOperationRequestSchema,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import { CancellationError, type CancellationToken } from "../cancellation/cancellation-token.ts";
import type { OperationExecutor } from "../operations/operation-executor.ts";
import type { OperationsService } from "../operations/operations-service.ts";
import { ProgressManager } from "../progress/progress-manager.ts";
import type { ProgressUpdate } from "../progress/progress-update.ts";
import { currentOperation } from "./current-operation.ts";
import { LocalExecutor } from "./local-executor.ts";
import type { OperationDefinition, OperationWork } from "./operation-context.ts";

/** What a server gives an orchestrator it serves. */
export interface OrchestratorBinding {
  readonly operations: OperationsService;
  /** Types that the environment routes to a host instead. */
  readonly routedTypes: ReadonlySet<string>;
}

/** What a server sets for every orchestrator it serves. */
export interface OrchestratorSettings {
  /** Default of `maxConcurrentOperations`. */
  readonly maxConcurrentOperations: number;
  /** How long cancelled work may take to stop before a worker thread is terminated, in milliseconds. */
  readonly cancellationGraceMs: number;
  readonly log: Logger;
}

/** What starts a managed operation: a CreateOperationRequest and the work. */
export type ManagedOperation = Omit<
  Exclude<MessageInitShape<typeof CreateOperationRequestSchema>, CreateOperationRequest>,
  "totalSteps"
> & {
  /** Kind of work. Required. */
  readonly operationType: string;
  /** Steps the work will have. Default 0, unknown. */
  readonly totalSteps?: number;
} & (OperationWork | { readonly operationFunc?: never; readonly workerModule?: never });

/**
 * The base class of services that run operations.
 *
 * A subclass names the operation types it serves in `operations`; a server that loads it runs them when a client asks
 * for one. Its own methods start operations with `startManagedOperation`. Where an operation runs, in this process, in
 * a worker thread or on a host, is the environment's choice and makes no difference to either.
 */
export abstract class ServiceOrchestrator {
  /** How operations of each type are run, by operation type. */
  abstract readonly operations: Readonly<Record<string, OperationDefinition>>;
  /** Operations that run at the same time; the others wait, PENDING, first come first served. Unset: the server's. */
  readonly maxConcurrentOperations?: number;
  #executor: LocalExecutor | undefined;
  #binding: OrchestratorBinding | undefined;

  /** Makes the executors of this orchestrator's types. For servers; `bind` comes next. */
  executors(settings: OrchestratorSettings): Map<string, OperationExecutor> {
    const executor = new LocalExecutor({
      ...settings,
      maxConcurrentOperations: this.maxConcurrentOperations ?? settings.maxConcurrentOperations,
    });
    this.#executor = executor;
    return new Map(
      Object.entries(this.operations).map(([type, definition]) => [type, executor.executorOf(definition)]),
    );
  }

  /** Connects this orchestrator with the registry. For servers. */
  bind(binding: OrchestratorBinding): void {
    this.#binding = binding;
  }

  /** Begins no more operations. For servers that stop. */
  stop(): void {
    this.#executor?.stop();
  }

  /** Terminates the worker threads that still run. For servers that have stopped. */
  close(): void {
    this.#executor?.close();
  }

  /**
   * Starts an operation and answers it once it is stored, long before it ends. The work is `operationFunc` or
   * `workerModule`; without either, the one `operations` has for the type. Where the type is routed to a host, the
   * host's own work runs.
   */
  async startManagedOperation(operation: ManagedOperation): Promise<OperationInfo> {
    const { operationFunc, workerModule, totalSteps = 0, ...request } = operation;
    const { operations, routedTypes } = this.#bound();
    const executor = routedTypes.has(operation.operationType)
      ? undefined
      : this.#executorOf(operation.operationType, operationFunc, workerModule);
    return operations.createOperation({ ...request, totalSteps: BigInt(totalSteps) }, executor ? { executor } : {});
  }

  /**
   * Runs a function with a ProgressManager of its own and answers what it answers. Inside, updateOperationProgress
   * reports to `progressCallback`. No operation is registered.
   */
  async executeWithProgress<T>(
    operation: (progress: ProgressManager) => Promise<T>,
    options: {
      readonly progressCallback: (progress: ProgressUpdate) => void;
      readonly operationName: string;
      /** Default 0, unknown. */
      readonly totalSteps?: number;
    },
  ): Promise<T> {
    const progress = new ProgressManager(options.progressCallback);
    progress.startOperation(options.operationName, { totalSteps: options.totalSteps ?? 0 });
    const context = { ...currentOperation.getStore(), progress };
    const result = await currentOperation.run(context, () => operation(progress));
    progress.completeOperation();
    return result;
  }

  /**
   * Runs a function under a token and answers what it answers, unless the token is cancelled before it begins. A
   * function that throws the signal's AbortError has been cancelled, too: then this throws a CancellationError. It does
   * not answer before the function has ended, for nothing is cancelled while it still runs.
   */
  async executeWithCancellation<T>(
    operation: (token: CancellationToken) => Promise<T>,
    options: { readonly cancellationToken: CancellationToken; readonly operationName: string },
  ): Promise<T> {
    const { cancellationToken: token, operationName } = options;
    token.throwIfCancelled();
    try {
      return await currentOperation.run({ ...currentOperation.getStore(), token }, () => operation(token));
    } catch (error) {
      if (error instanceof Error && error.name === "AbortError" && token.isCancelled()) {
        throw new CancellationError(`${operationName}: ${token.reason}`);
      }
      throw error;
    }
  }

  /** Reports progress of the operation the calling code runs in. Throws an Error outside of one. */
  updateOperationProgress(update: { step: number; message?: string; context?: JsonObject }): void {
    const progress = currentOperation.getStore()?.progress;
    if (!progress) {
      throw new Error("updateOperationProgress was called outside of an operation");
    }
    progress.updateProgress(update);
  }

  /** The token of the operation the calling code runs in; undefined outside of one. */
  getCurrentCancellationToken(): CancellationToken | undefined {
    return currentOperation.getStore()?.token;
  }

  #bound(): OrchestratorBinding {
    if (!this.#binding) {
      throw new Error(`${this.constructor.name} is not served by a server yet, so it cannot start operations`);
    }
    return this.#binding;
  }

  #executorOf(
    operationType: string,
    operationFunc: OperationWork["operationFunc"],
    workerModule: OperationWork["workerModule"],
  ): OperationExecutor | undefined {
    if (operationFunc) {
      return this.#executor?.executorOf({ operationFunc });
    }
    if (workerModule) {
      return this.#executor?.executorOf({ workerModule });
    }
    const definition = this.operations[operationType];
    return definition && this.#executor?.executorOf(definition);
  }
}
