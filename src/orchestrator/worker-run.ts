import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { CreateOperationRequestSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { BridgeSource } from "../operations/bridge-source.ts";
import { operationError } from "../operations/operation-errors.ts";
import type { OperationOutcome, OperationRun } from "../operations/operation-executor.ts";
import { SharedProgressBridge } from "../progress/shared-progress-bridge.ts";
import { drainWhenCrowded, type LocalRun, operationOutcome, totalStepsOf } from "./local-run.ts";
import { thrown } from "./run-outcome.ts";
import type { WorkerEnd, WorkerStart } from "./worker-protocol.ts";

/** The entry has the ending of this file: .ts when run from source, .js when built. */
const entry = new URL(`./worker-entry${extname(import.meta.url)}`, import.meta.url);

/** How long a thread may take to end after its work has, in milliseconds. */
const lingerMs = 1_000;

/**
 * One operation in a worker thread of its own.
 *
 * I1 The thread is told of a cancellation through the shared memory, so synchronous code sees it.
 * I2 A thread that has not stopped `cancellationGraceMs` after that is terminated, and the operation says `forced`.
 * I3 A thread that runs when the registry has closed is terminated without a word: a restart settles the operation.
 * I4 The bridge is closed only after the operation's end is stored, or the thread could lose records.
 */
class WorkerRun {
  readonly #run: LocalRun;
  readonly #bridge: SharedProgressBridge;
  readonly #attempt: number;
  #worker: Worker | undefined;
  #grace: NodeJS.Timeout | undefined;
  #terminated = false;

  constructor(run: LocalRun, { attempt, cursor }: OperationRun) {
    this.#run = run;
    this.#attempt = attempt;
    this.#bridge = new SharedProgressBridge({ operationType: run.stored.info.operationType, attempt, cursor });
  }

  source(): BridgeSource {
    return new BridgeSource({
      attempt: this.#attempt,
      bridge: this.#bridge,
      cancel: (reason, force) => this.#cancel(reason, force),
      close: () => this.#bridge.close(),
    });
  }

  async execute(moduleUrl: URL): Promise<void> {
    const { stored, control, closed } = this.#run;
    const { operationId } = stored.info;
    const ended = new AbortController();
    void drainWhenCrowded(this.#run, this.#bridge, ended.signal);
    const token = control.tokenFor(operationId);
    void token.waitForCancellation().then((reason) => this.#cancel(reason, false));
    const terminate = () => this.#terminate();
    closed.addEventListener("abort", terminate, { once: true });
    const outcome = await this.#work(moduleUrl);
    closed.removeEventListener("abort", terminate);
    clearTimeout(this.#grace);
    ended.abort();
    if (!closed.aborted) {
      await control.finish(operationId, outcome, this.#attempt);
    }
  }

  #work(moduleUrl: URL): Promise<OperationOutcome> {
    const { stored, log } = this.#run;
    const { operationId } = stored.info;
    const workerData: WorkerStart = {
      moduleUrl: moduleUrl.href,
      request: toBinary(CreateOperationRequestSchema, stored.request),
      attempt: this.#attempt,
      totalSteps: totalStepsOf(this.#run),
      memory: this.#bridge.memory,
    };
    return new Promise((resolve) => {
      const worker = new Worker(entry, { workerData, name: operationId });
      this.#worker = worker;
      if (this.#terminated) {
        void worker.terminate();
      }
      worker.once("message", ({ outcome, result }: WorkerEnd) => {
        if (outcome.ended === "threw") {
          log.warn({ operationId, stack: outcome.stack }, `operation failed: ${outcome.message}`);
        }
        resolve(operationOutcome(outcome, result && fromBinary(AnySchema, result)));
        // A thread ends best by itself; what the work left running must not outlive it all the same.
        setTimeout(() => void worker.terminate(), lingerMs).unref();
      });
      worker.once("error", (error) => {
        log.warn({ operationId, err: error }, "operation failed: its worker thread threw");
        resolve(operationOutcome(thrown(error), undefined));
      });
      worker.once("exit", (code) => resolve(this.#exited(code)));
    });
  }

  #exited(code: number): OperationOutcome {
    if (this.#terminated) {
      return { status: "cancelled", forced: true };
    }
    const error = operationError("WORKER_EXITED", `the worker thread exited with code ${code} before the work ended`);
    return { status: "failed", error };
  }

  #cancel(reason: string, force: boolean): void {
    this.#bridge.cancel(reason);
    if (force) {
      this.#terminate();
    } else {
      this.#grace ??= setTimeout(() => this.#terminate(), this.#run.cancellationGraceMs).unref();
    }
  }

  #terminate(): void {
    this.#terminated = true;
    void this.#worker?.terminate();
  }
}

/** Runs an operation in a worker thread, from its start to its stored end. */
export async function runWorker(run: LocalRun, moduleUrl: URL): Promise<void> {
  let begun: WorkerRun | undefined;
  const started = await run.control.start(run.stored.info.operationId, (operationRun) => {
    begun = new WorkerRun(run, operationRun);
    return begun.source();
  });
  if (started) {
    await begun?.execute(moduleUrl);
  }
}
