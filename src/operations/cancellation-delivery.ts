import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { CancellationSchema, type OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import type { LiveOperation } from "./live-operation.ts";
import { nextSnapshot } from "./operation-snapshot.ts";
import type { CancelDelivery, OperationSource } from "./operation-source.ts";
import { pause } from "./pause.ts";

/** Delays between attempts, in milliseconds: the first one, and the most it doubles to. */
const firstDelayMs = 250;
const maximumDelayMs = 5_000;

/** What delivering needs to know beside the operation; the same for all. */
export interface CancellationDeliveryOptions {
  /** How long one attempt may take, in milliseconds. */
  readonly attemptTimeoutMs: number;
  readonly now: () => number;
  /** Aborts when the registry closes. */
  readonly closed: AbortSignal;
  /** Told when a cancellation has arrived: the end is near. */
  readonly onDelivered: (operation: LiveOperation) => void;
}

/**
 * Takes a requested cancellation to where the work runs, again and again until it has arrived.
 *
 * I1 At most one loop runs; asking again joins it.
 * I2 Only the source's own word sets delivered_at; a failed attempt changes nothing.
 */
export class CancellationDelivery {
  readonly #operation: LiveOperation;
  readonly #options: CancellationDeliveryOptions;
  #firstAttempt: Promise<void> | undefined;

  constructor(operation: LiveOperation, options: CancellationDeliveryOptions) {
    this.#operation = operation;
    this.#options = options;
  }

  /** Begins delivering, if that is not under way or done. Resolves after the first attempt, whatever came of it. */
  deliver(): Promise<void> {
    const { info, source, isOver } = this.#operation;
    if (!source || isOver || !info.cancellation || info.cancellation.deliveredAt) {
      return Promise.resolve();
    }
    if (!this.#firstAttempt) {
      const first = this.#attempt(source);
      this.#firstAttempt = first.then(() => undefined);
      void first.then(async (delivered) => {
        if (!delivered) {
          await this.#keepTrying(source);
        }
        this.#firstAttempt = undefined;
      });
    }
    return this.#firstAttempt;
  }

  async #keepTrying(source: OperationSource): Promise<void> {
    for (let delayMs = firstDelayMs; ; delayMs = Math.min(delayMs * 2, maximumDelayMs)) {
      await pause(delayMs, this.#options.closed);
      if (this.#options.closed.aborted || this.#operation.isOver || (await this.#attempt(source))) {
        return;
      }
    }
  }

  async #attempt(source: OperationSource): Promise<boolean> {
    const reason = this.#operation.info.cancellation?.reason ?? "";
    const { outcome } = await this.#ask(source, reason);
    if (outcome === "delivered") {
      await this.#operation.observe((current) => deliveredSnapshot(current, this.#options.now()));
      this.#options.onDelivered(this.#operation);
    }
    // A source that does not know the operation has nothing to cancel; the next pulls settle what that means.
    return outcome !== "unreachable";
  }

  async #ask(source: OperationSource, reason: string): Promise<CancelDelivery> {
    const signal = AbortSignal.any([AbortSignal.timeout(this.#options.attemptTimeoutMs), this.#options.closed]);
    try {
      return await source.cancel({ reason, force: false, signal });
    } catch (error) {
      return { outcome: "unreachable", reason: String(error) };
    }
  }
}

/** The snapshot of an operation whose cancellation is asked for. The first reason stays. */
export function cancellationRequested(current: OperationInfo, reason: string, nowMs: number): OperationInfo {
  if (current.cancellation) {
    return current;
  }
  const cancellation = create(CancellationSchema, { requestedAt: timestampFromMs(nowMs), reason });
  return nextSnapshot(current, { cancellation }, nowMs);
}

function deliveredSnapshot(current: OperationInfo, nowMs: number): OperationInfo {
  if (!current.cancellation || current.cancellation.deliveredAt) {
    return current;
  }
  const cancellation = { ...current.cancellation, deliveredAt: timestampFromMs(nowMs) };
  return nextSnapshot(current, { cancellation }, nowMs);
}
