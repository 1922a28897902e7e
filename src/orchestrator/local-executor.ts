import { setMaxListeners } from "node:events";
import { type Context, context, ROOT_CONTEXT } from "@opentelemetry/api";
import type { Logger } from "pino";
import type {
  DispatchCircumstances,
  OperationControl,
  OperationExecutor,
  Recovery,
} from "../operations/operation-executor.ts";
import type { StoredOperation } from "../operations/operation-store.ts";
import { linkedContext } from "../tracing/spans.ts";
import { runFunction } from "./function-run.ts";
import type { LocalRun } from "./local-run.ts";
import type { OperationDefinition } from "./operation-context.ts";
import { runWorker } from "./worker-run.ts";

/** What a local executor needs to know. */
export interface LocalExecutorOptions {
  /** Operations that run at the same time; the others wait. */
  readonly maxConcurrentOperations: number;
  /** How long cancelled work may take to stop before a worker thread is terminated, in milliseconds. */
  readonly cancellationGraceMs: number;
  readonly log: Logger;
}

/**
 * Runs the operations of one orchestrator in this process.
 *
 * I1 At most `maxConcurrentOperations` run; the others wait in the order they came, PENDING.
 * I2 An operation leaves the queue exactly once: to run, or withdrawn.
 */
export class LocalExecutor {
  readonly #options: LocalExecutorOptions;
  readonly #queue = new Map<string, { readonly run: LocalRun; readonly trace: Context }>();
  readonly #closed = new AbortController();
  #running = 0;
  #stopped = false;

  constructor(options: LocalExecutorOptions) {
    this.#options = options;
    // Every worker thread listens.
    setMaxListeners(0, this.#closed.signal);
  }

  /** The executor of operations that run as defined. All of them share this executor's queue and limit. */
  executorOf(definition: OperationDefinition): OperationExecutor {
    return {
      host: "",
      dispatch: (stored: StoredOperation, control: OperationControl, { origin, again }: DispatchCircumstances) => {
        const { cancellationGraceMs, log } = this.#options;
        const { signal: closed } = this.#closed;
        const run = { stored, definition, control, cancellationGraceMs, closed, log };
        const created = origin.trace ?? ROOT_CONTEXT;
        this.#queue.set(stored.info.operationId, { run, trace: again ? linkedContext([created]) : created });
        this.#runNext();
      },
      withdraw: (operationId) => this.#queue.delete(operationId),
      recover: (): Recovery => ({ outcome: definition.restartable ? "restartable" : "lost" }),
    };
  }

  /** Begins no more operations; those that wait stay PENDING in the store. */
  stop(): void {
    this.#stopped = true;
  }

  /** Terminates the worker threads that still run, without a word to the registry. Call it once that is closed. */
  close(): void {
    this.stop();
    this.#closed.abort();
  }

  #runNext(): void {
    const next = this.#queue.values().next();
    if (next.done || this.#stopped || this.#running >= this.#options.maxConcurrentOperations) {
      return;
    }
    const { run, trace } = next.value;
    const { operationId } = run.stored.info;
    this.#queue.delete(operationId);
    this.#running += 1;
    // Not the trace of the operation whose end has made room.
    void context
      .with(trace, () => execute(run))
      .catch((error: unknown) => this.#options.log.error({ err: error, operationId }, "a run could not be completed"))
      .finally(() => {
        this.#running -= 1;
        this.#runNext();
      });
    this.#runNext();
  }
}

function execute(run: LocalRun): Promise<void> {
  const { operationFunc, workerModule } = run.definition;
  return operationFunc ? runFunction(run, operationFunc) : runWorker(run, workerModule as URL);
}
