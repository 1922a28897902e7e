import { durationMs } from "@bufbuild/protobuf/wkt";
import type { Logger } from "pino";
import { FreshnessSource } from "../../gen/longhaul/v1/operation_pb.ts";
import type { CancellationCoordinator } from "../cancellation/cancellation-coordinator.ts";
import type { CancellationToken } from "../cancellation/cancellation-token.ts";
import { cancellationRequested } from "./cancellation-delivery.ts";
import type { LiveOperation } from "./live-operation.ts";
import { operationError } from "./operation-errors.ts";
import type { OperationControl, OperationOutcome, OperationRun } from "./operation-executor.ts";
import { infoOf, type OperationRegistry } from "./operation-registry.ts";
import { endedSnapshot, freshness, msOf, nextSnapshot, staleSnapshot, startedSnapshot } from "./operation-snapshot.ts";
import type { OperationSource } from "./operation-source.ts";
import { pause } from "./pause.ts";

/** Delays between attempts to store what an executor said, in milliseconds. */
const firstDelayMs = 100;
const maximumDelayMs = 5_000;
/** The longest delay a timer of Node.js can have, in milliseconds. */
const longestTimerMs = 2 ** 31 - 1;

/** The side of the registry that executors use: it turns what they say into changes of the operations' records. */
export class RunControl implements OperationControl {
  readonly #registry: OperationRegistry;
  readonly #coordinator: CancellationCoordinator;
  readonly #now: () => number;
  readonly #log: Logger;
  readonly #closed: AbortSignal;

  constructor(
    registry: OperationRegistry,
    coordinator: CancellationCoordinator,
    now: () => number,
    log: Logger,
    closed: AbortSignal,
  ) {
    this.#registry = registry;
    this.#coordinator = coordinator;
    this.#now = now;
    this.#log = log;
    this.#closed = closed;
  }

  tokenFor(operationId: string): CancellationToken {
    return this.#coordinator.tokenFor(operationId);
  }

  start(operationId: string, createSource: (run: OperationRun) => OperationSource): Promise<boolean> {
    // Nobody else would begin the operation.
    return this.#untilStored(operationId, "the start", () => this.startNow(operationId, createSource));
  }

  /** Like `start`, but rejects at once when the store cannot be written; then the operation is as it was. */
  async startNow(operationId: string, createSource: (run: OperationRun) => OperationSource): Promise<boolean> {
    const tracked = this.#registry.active(operationId);
    if (!tracked || this.#closed.aborted) {
      return false;
    }
    const { operation, delivery } = tracked;
    const token = this.tokenFor(operationId);
    if (token.isCancelled()) {
      await this.finish(operationId, { status: "cancelled", forced: false });
      return false;
    }
    const attempt = operation.info.attempt + (operation.stored.dispatched ? 1 : 0);
    const source = createSource({ attempt, cursor: operation.cursor });
    // Before RUNNING is published, so that whoever sees RUNNING can ask and cancel.
    operation.source = source;
    let started = false;
    try {
      started = await operation.change((current) => ({
        info: startedSnapshot(current, attempt, this.#now()),
        dispatched: true,
      }));
    } finally {
      if (!started) {
        operation.source = undefined;
        source.close();
      }
    }
    if (started) {
      this.armTimeout(operation);
      void delivery.deliver();
    }
    return started;
  }

  async accepted(operationId: string, source: OperationSource): Promise<string | undefined> {
    const tracked = this.#registry.active(operationId);
    if (!tracked) {
      source.close();
      return this.#settledReason(operationId);
    }
    const { operation, refresh, delivery } = tracked;
    operation.source = source;
    const stored = await this.#untilStored(operationId, "the acceptance", () =>
      operation.change((current) => ({
        info: nextSnapshot(current, { freshness: freshness(FreshnessSource.HOST, this.#now()) }, this.#now()),
        dispatched: true,
      })),
    );
    if (!stored) {
      return this.#settledReason(operationId);
    }
    void delivery.deliver();
    await this.#untilStored(operationId, "the first state", () => refresh.refresh(0, false));
    return undefined;
  }

  waiting(operationId: string, reason: string): void {
    void this.#registry
      .active(operationId)
      ?.operation.observe((current) => staleSnapshot(current, reason, this.#now()));
  }

  async drain(operationId: string): Promise<void> {
    await this.#registry.active(operationId)?.refresh.drain();
  }

  finish(operationId: string, outcome: OperationOutcome): Promise<void> {
    return this.#untilStored(operationId, "the end", () => this.#finishNow(operationId, outcome));
  }

  /** Sees to it that a running operation does not run longer than its execution_timeout. */
  armTimeout(operation: LiveOperation): void {
    const { executionTimeout } = operation.stored.request;
    const startedMs = msOf(operation.info.startedAt);
    if (!executionTimeout || startedMs === undefined) {
      return;
    }
    const leftMs = startedMs + durationMs(executionTimeout) - this.#now();
    const timer = setTimeout(
      () => {
        if (leftMs > longestTimerMs) {
          this.armTimeout(operation);
        } else {
          void this.#timeOut(operation.operationId);
        }
      },
      Math.min(Math.max(leftMs, 0), longestTimerMs),
    ).unref();
    const unsubscribe = operation.onChange(() => {
      if (!this.#registry.active(operation.operationId)) {
        clearTimeout(timer);
        unsubscribe();
      }
    });
  }

  /** Why an operation has ended while its host was being given it. */
  async #settledReason(operationId: string): Promise<string> {
    const settled = await this.#registry.find(operationId).catch(() => undefined);
    return (settled && infoOf(settled).cancellation?.reason) ?? "the operation has ended";
  }

  async #finishNow(operationId: string, outcome: OperationOutcome): Promise<void> {
    const tracked = this.#registry.active(operationId);
    if (!tracked) {
      return;
    }
    await tracked.refresh.drain();
    const settled =
      tracked.operation.timedOut && outcome.status === "cancelled" ? timedOut(tracked.operation) : outcome;
    const retentionMs = this.#registry.retentionMs(tracked.operation.stored);
    await tracked.operation.change((current) => {
      const before =
        settled.status === "cancelled"
          ? cancellationRequested(
              current,
              this.tokenFor(operationId).reason ?? "cancelled by the work itself",
              this.#now(),
            )
          : current;
      return { info: endedSnapshot(before, settled, retentionMs, this.#now()) };
    });
  }

  /** Does again what could not be stored. Rejects only when the registry is closed: a restart settles what is left. */
  async #untilStored<T>(operationId: string, what: string, attempt: () => Promise<T>): Promise<T> {
    for (let delayMs = firstDelayMs; ; delayMs = Math.min(delayMs * 2, maximumDelayMs)) {
      try {
        return await attempt();
      } catch (error) {
        if (this.#closed.aborted) {
          throw error;
        }
        this.#log.error({ err: error, operationId, retryInMs: delayMs }, `${what} of an operation could not be stored`);
        await pause(delayMs, this.#closed);
      }
    }
  }

  async #timeOut(operationId: string): Promise<void> {
    const tracked = this.#registry.active(operationId);
    if (!tracked) {
      return;
    }
    const { operation, delivery } = tracked;
    operation.timedOut = true;
    const reason = timeoutMessage(operation);
    try {
      await operation.change((current) =>
        current.cancellation ? undefined : { info: cancellationRequested(current, reason, this.#now()) },
      );
    } catch (error) {
      this.#log.error({ err: error, operationId }, "the timeout of an operation could not be stored");
    }
    this.#coordinator.cancel(operationId, reason);
    await delivery.deliver();
  }
}

function timedOut(operation: LiveOperation): OperationOutcome {
  return { status: "failed", error: operationError("EXECUTION_TIMEOUT", timeoutMessage(operation)) };
}

function timeoutMessage(operation: LiveOperation): string {
  const { executionTimeout } = operation.stored.request;
  return `the execution_timeout of ${executionTimeout ? durationMs(executionTimeout) / 1000 : 0} s has passed`;
}
