import type { Logger } from "pino";
import { FreshnessSource, type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { CancellationCoordinator } from "../cancellation/cancellation-coordinator.ts";
import type { CancellationToken } from "../cancellation/cancellation-token.ts";
import { cancellationRequested } from "./cancellation-delivery.ts";
import type { CutOffs } from "./cut-offs.ts";
import { timeoutOutcome, watchTimeout } from "./execution-timeout.ts";
import type { OwnOperation } from "./known-operation.ts";
import type { LiveOperation } from "./live-operation.ts";
import type { OperationControl, OperationOutcome, OperationRun } from "./operation-executor.ts";
import type { OperationRegistry } from "./operation-registry.ts";
import {
  endedSnapshot,
  freshness,
  hasEnded,
  msOf,
  nextSnapshot,
  staleSnapshot,
  startedSnapshot,
} from "./operation-snapshot.ts";
import type { OperationSource } from "./operation-source.ts";
import type { OperationStore } from "./operation-store.ts";
import { pause } from "./pause.ts";

/** Delays between attempts to store what an executor said, in milliseconds. */
const firstDelayMs = 100;
const maximumDelayMs = 5_000;

/** What run control needs. */
export interface RunControlParts {
  readonly registry: OperationRegistry;
  readonly store: OperationStore;
  readonly coordinator: CancellationCoordinator;
  readonly cutOffs: CutOffs;
  /** How long a host may be silent before an operation that is to be cancelled is given up, in milliseconds. */
  readonly hostLostAfterMs: number;
  readonly now: () => number;
  readonly log: Logger;
  /** Aborts when the registry closes. */
  readonly closed: AbortSignal;
}

/** The side of the registry that executors use: it turns what they say into changes of the operations' records. */
export class RunControl implements OperationControl {
  readonly #parts: RunControlParts;

  constructor(parts: RunControlParts) {
    this.#parts = parts;
  }

  tokenFor(operationId: string): CancellationToken {
    return this.#parts.coordinator.tokenFor(operationId);
  }

  start(operationId: string, createSource: (run: OperationRun) => OperationSource): Promise<boolean> {
    // Nobody else would begin the operation.
    return this.untilStored(operationId, "the start", () => this.startNow(operationId, createSource));
  }

  /** Like `start`, but rejects at once when the store cannot be written; then the operation is as it was. */
  async startNow(operationId: string, createSource: (run: OperationRun) => OperationSource): Promise<boolean> {
    const own = this.#parts.registry.active(operationId);
    if (!own || this.#parts.closed.aborted) {
      return false;
    }
    const { operation, delivery } = own;
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
      started = await operation.change((current) =>
        // Another server may have been asked to cancel it.
        current.cancellation
          ? undefined
          : { info: startedSnapshot(current, attempt, this.#parts.now()), dispatched: true },
      );
    } finally {
      if (!started) {
        operation.source = undefined;
        source.close();
      }
    }
    if (started) {
      this.watchTimeout(operation);
      void delivery.deliver();
    } else if (operation.info.cancellation) {
      await this.finish(operationId, { status: "cancelled", forced: false });
    }
    return started;
  }

  async accepted(operationId: string, source: OperationSource): Promise<void> {
    const own = this.#parts.registry.active(operationId);
    if (!own) {
      await this.#acceptedTooLate(operationId, source);
      return;
    }
    const { operation, refresh, delivery } = own;
    operation.source = source;
    const stored = await this.untilStored(operationId, "the acceptance", () =>
      operation.change((current) => ({
        info: nextSnapshot(
          current,
          { host: source.host, freshness: freshness(FreshnessSource.HOST, this.#parts.now()) },
          this.#parts.now(),
        ),
        dispatched: true,
      })),
    );
    if (!stored) {
      await this.#acceptedTooLate(operationId, source);
      return;
    }
    this.watchTimeout(operation);
    void delivery.deliver();
    await this.untilStored(operationId, "the first state", () => refresh.refresh(0, false));
  }

  waiting(operationId: string, reason: string): void {
    const own = this.#parts.registry.active(operationId);
    if (own) {
      void this.#waiting(own, reason);
    }
  }

  async drain(operationId: string): Promise<void> {
    await this.#parts.registry.active(operationId)?.refresh.drain();
  }

  finish(operationId: string, outcome: OperationOutcome, attempt?: number): Promise<void> {
    return this.untilStored(operationId, "the end", () => this.#finishNow(operationId, outcome, attempt));
  }

  /** Sees to it that an operation does not run longer than its execution_timeout. */
  watchTimeout(operation: LiveOperation): void {
    watchTimeout(operation, this.#parts.now, (reason) => void this.#timeOut(operation.operationId, reason));
  }

  /** Does again what could not be stored. Rejects only when the registry is closed: a restart settles what is left. */
  async untilStored<T>(operationId: string, what: string, attempt: () => Promise<T>): Promise<T> {
    const { closed, log } = this.#parts;
    for (let delayMs = firstDelayMs; ; delayMs = Math.min(delayMs * 2, maximumDelayMs)) {
      try {
        return await attempt();
      } catch (error) {
        if (closed.aborted) {
          throw error;
        }
        log.error({ err: error, operationId, retryInMs: delayMs }, `${what} of an operation could not be stored`);
        await pause(delayMs, closed);
      }
    }
  }

  /** Of an operation that was settled while its host was being given it, the work is cut off. */
  async #acceptedTooLate(operationId: string, source: OperationSource): Promise<void> {
    const stored = await this.#parts.store.get(operationId).catch(() => undefined);
    if (stored && hasEnded(stored.info) && stored.info.status !== OperationStatus.COMPLETED) {
      this.#parts.cutOffs.begin(stored, source);
    } else {
      source.close();
    }
  }

  /** Shows why an operation waits; one that is to be cancelled is not waited for for ever. */
  async #waiting({ operation }: OwnOperation, reason: string): Promise<void> {
    const { registry, hostLostAfterMs, now } = this.#parts;
    const isGivenUp = ({ status, cancellation }: OperationInfo) =>
      status === OperationStatus.PENDING &&
      now() - (msOf(cancellation?.requestedAt) ?? Number.POSITIVE_INFINITY) >= hostLostAfterMs;
    if (!isGivenUp(operation.info)) {
      await operation.observe((current) => staleSnapshot(current, reason, now()));
      return;
    }
    const retentionMs = registry.retentionMs(operation.stored);
    await this.untilStored(operation.operationId, "the cancellation", () =>
      operation.change((current) => {
        const info = endedSnapshot(current, { status: "cancelled", forced: true }, retentionMs, now());
        return isGivenUp(current) ? { info, cutOff: true } : undefined;
      }),
    );
    operation.executor?.withdraw(operation.operationId, true);
  }

  async #finishNow(operationId: string, outcome: OperationOutcome, attempt: number | undefined): Promise<void> {
    const { registry, now } = this.#parts;
    const own = registry.active(operationId);
    if (!own || (attempt !== undefined && attempt !== own.operation.info.attempt)) {
      return;
    }
    const { operation, refresh } = own;
    await refresh.drain();
    const retentionMs = registry.retentionMs(operation.stored);
    await operation.change((current) => {
      if (outcome.status !== "cancelled") {
        return { info: endedSnapshot(current, outcome, retentionMs, now()) };
      }
      const reason = this.tokenFor(operationId).reason ?? "cancelled by the work itself";
      const cancelled = cancellationRequested(current, reason, now());
      const settled = timeoutOutcome(operation.stored, cancelled) ?? outcome;
      return { info: endedSnapshot(cancelled, settled, retentionMs, now()) };
    });
  }

  async #timeOut(operationId: string, reason: string): Promise<void> {
    const { registry, coordinator, now, log } = this.#parts;
    const own = registry.active(operationId);
    if (!own) {
      return;
    }
    const { operation, delivery } = own;
    try {
      await operation.change((current) =>
        current.cancellation ? undefined : { info: cancellationRequested(current, reason, now()) },
      );
    } catch (error) {
      log.error({ err: error, operationId }, "the timeout of an operation could not be stored");
    }
    coordinator.cancel(operationId, reason);
    await delivery.deliver();
  }
}
