import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type OperationInfo,
  OperationInfoSchema,
  type OperationProgress,
  OperationProgressSchema,
  OperationStatus,
} from "../../gen/longhaul/v1/operation_pb.ts";
import type { ProgressReader, ProgressReading } from "../progress/progress-reader.ts";
import type { ProgressWriter } from "../progress/progress-update.ts";
import type { CancelDelivery, CancelRequest, OperationSource, PullRequest, PullResult } from "./operation-source.ts";
import { pause } from "./pause.ts";

/** Records read in one pull; the store writes as many in one transaction without holding the event loop for long. */
const recordsPerPull = 2_000;
/**
 * Time between two looks at a bridge on behalf of waiters, in milliseconds: the shortest, and the longest, which is that
 * of 4,000 bridges. A look is cheap, but a timer for each of many is not.
 */
const shortestLookMs = 20;
const longestLookMs = 100;
const bridgesPerMs = 50;
let lookedAt = 0;

/** What a source of this process is made of. */
export interface BridgeSourceOptions {
  /** Which run of the work this is. */
  readonly attempt: number;
  readonly bridge: ProgressReader;
  /** The bridge's writing end, when the work runs in this thread. */
  readonly writer?: ProgressWriter;
  /** Passes a cancellation to the work; with `force`, cuts it off. */
  readonly cancel: (reason: string, force: boolean) => void;
  /** Frees the bridge. */
  readonly close?: () => void;
}

/** The source of an operation whose work runs in this process, seen through its bridge. It can always be asked. */
export class BridgeSource implements OperationSource {
  readonly host = "";
  readonly writer?: ProgressWriter;
  readonly #options: BridgeSourceOptions;
  #pulled: Pick<ProgressReading, "changedAtMs" | "cursor"> | undefined;

  constructor(options: BridgeSourceOptions) {
    this.#options = options;
    if (options.writer) {
      this.writer = options.writer;
    }
  }

  pull({ cursor: stored, dropsRecords = false }: PullRequest): Promise<PullResult> {
    const { bridge, attempt } = this.#options;
    // What the registry has stored, or does not want, need not be kept here any longer; a writer may wait for the room.
    const cursor = dropsRecords ? bridge.read().cursor : stored;
    bridge.release(cursor);
    const records = dropsRecords ? [] : bridge.recordsAfter(cursor, recordsPerPull);
    const reading = bridge.read();
    this.#pulled = { changedAtMs: reading.changedAtMs, cursor: reading.cursor };
    return Promise.resolve({
      outcome: "observed",
      info: observedInfo(reading, attempt),
      records,
      hasMore: !dropsRecords && (records.at(-1)?.sequence ?? cursor) < reading.cursor,
    });
  }

  cancel({ reason, force }: CancelRequest): Promise<CancelDelivery> {
    this.#options.cancel(reason, force);
    return Promise.resolve({ outcome: "delivered" });
  }

  /** Resolves at once when something has changed since the last pull already. */
  async waitForChange(signal: AbortSignal): Promise<void> {
    const { bridge } = this.#options;
    const pulled = this.#pulled;
    lookedAt += 1;
    try {
      while (!signal.aborted) {
        const { changedAtMs, cursor } = bridge.read();
        if (changedAtMs !== pulled?.changedAtMs || cursor !== pulled.cursor) {
          return;
        }
        await pause(Math.min(shortestLookMs + lookedAt / bridgesPerMs, longestLookMs), signal);
      }
    } finally {
      lookedAt -= 1;
    }
  }

  close(): void {
    this.#options.close?.();
  }
}

function observedInfo(reading: ProgressReading, attempt: number): OperationInfo {
  return create(OperationInfoSchema, {
    status: OperationStatus.RUNNING,
    attempt,
    warnings: [...reading.warnings],
    metricsCursor: BigInt(reading.cursor),
    progress: progressMessage(reading),
  });
}

function progressMessage({ progress, changedAtMs }: ProgressReading): OperationProgress {
  return create(OperationProgressSchema, {
    percentage: progress.percentage ?? 0,
    currentStep: progress.currentStep ?? "",
    stepsCompleted: count(progress.stepsCompleted),
    stepsTotal: count(progress.stepsTotal),
    itemsProcessed: count(progress.itemsProcessed),
    itemsTotal: count(progress.itemsTotal),
    currentItem: progress.currentItem ?? "",
    phasePath: [...(progress.phasePath ?? [])],
    ...(progress.context && { context: progress.context }),
    ...(changedAtMs > 0 && { progressChangedAt: timestampFromMs(changedAtMs) }),
  });
}

/** Work may count in fractions or lose count; the protocol has whole, non-negative numbers. */
function count(value = 0): bigint {
  return Number.isFinite(value) && value > 0 ? BigInt(Math.trunc(value)) : 0n;
}
