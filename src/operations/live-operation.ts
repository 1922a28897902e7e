import { clone, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type OperationMetrics, OperationMetricsSchema } from "../../gen/longhaul/v1/metrics_pb.ts";
import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import type { MetricRecord } from "../progress/metric-record.ts";
import type { CallOrigin } from "./call-origin.ts";
import { CallError } from "./errors.ts";
import { emptySummary, foldMetrics } from "./metrics-summary.ts";
import type { OperationExecutor } from "./operation-executor.ts";
import { hasEnded } from "./operation-snapshot.ts";
import type { OperationSource } from "./operation-source.ts";
import type { MetricsLog, OperationStore, StoredOperation } from "./operation-store.ts";
import { SerialQueue } from "./serial-queue.ts";

/** How often a change is computed anew after another writer of the store was faster. */
const casAttempts = 5;

/** A change of one operation, computed from its current state. */
export interface Change {
  readonly info: OperationInfo;
  /** New value of `StoredOperation.dispatched`; unset leaves it. */
  readonly dispatched?: boolean;
}

/**
 * One operation in memory: the newest snapshot, the end of its metrics log, and the only way to change either.
 *
 * I1 `info` is never changed, only replaced by a snapshot with the same or a greater revision.
 * I2 Whatever replaces it or appends to the log runs in `#queue`, one at a time.
 * I3 A change of status is in the store before it is published; `stored.info.revision` is the revision in the store.
 * I4 A metric record is in the store before anybody is told of its sequence, so no cursor is lost in a crash.
 * I5 After the terminal status nothing replaces `info` any more.
 */
export class LiveOperation {
  /** How the creating call came here; empty after a restart. */
  readonly origin: CallOrigin;
  /** Where the state comes from. Unset until the work has begun or its host has accepted it. */
  source: OperationSource | undefined;
  /** Who runs it. Unset when nobody here does, which only an operation that is about to end can be. */
  executor: OperationExecutor | undefined;
  /** The execution_timeout has passed: what ends now has failed by it. */
  timedOut = false;

  readonly #store: OperationStore;
  readonly #queue = new SerialQueue();
  readonly #listeners = new Set<() => void>();
  #stored: StoredOperation;
  #info: OperationInfo;
  #cursor: number;
  #summary: OperationMetrics;

  constructor(store: OperationStore, stored: StoredOperation, log: MetricsLog, origin: CallOrigin = { via: [] }) {
    this.origin = origin;
    this.#store = store;
    this.#stored = stored;
    this.#info = stored.info;
    this.#cursor = log.cursor;
    this.#summary =
      log.summary.length > 0
        ? fromBinary(OperationMetricsSchema, log.summary)
        : emptySummary(stored.info.operationType);
  }

  get operationId(): string {
    return this.#info.operationId;
  }

  /** The newest snapshot. */
  get info(): OperationInfo {
    return this.#info;
  }

  /** The operation as it is in the store. */
  get stored(): StoredOperation {
    return this.#stored;
  }

  /** Sequence of the newest stored metric record. */
  get cursor(): number {
    return this.#cursor;
  }

  /** The summary of the stored metric records; not to be changed. */
  get summary(): OperationMetrics {
    return this.#summary;
  }

  /** The newest snapshot is not in the store yet. */
  get isDirty(): boolean {
    return this.#info.revision !== this.#stored.info.revision;
  }

  /**
   * Stores a change, then publishes it. `compute` sees the current snapshot and answers undefined when the change is
   * not to be made; it may be called again when another writer was faster. Answers whether the change was made.
   */
  change(compute: (current: OperationInfo) => Change | undefined): Promise<boolean> {
    return this.#queue.run(async () => {
      for (let attempt = 0; attempt < casAttempts; attempt++) {
        const change = hasEnded(this.#info) ? undefined : compute(this.#info);
        if (!change) {
          return false;
        }
        if (await this.#replace(change)) {
          return true;
        }
      }
      throw new CallError("CONCURRENT_CHANGE", `operation ${this.operationId} is being changed by others`, {
        operationId: this.operationId,
      });
    });
  }

  /** Publishes a snapshot that need not be stored at once. `compute` must not change the status. */
  observe(compute: (current: OperationInfo) => OperationInfo): Promise<void> {
    return this.#queue.run(() => {
      if (!hasEnded(this.#info)) {
        this.#publish(compute(this.#info));
      }
    });
  }

  /** Stores the newest snapshot if that has not been done; when another writer was faster, theirs stays. */
  flush(): Promise<void> {
    return this.#queue.run(async () => {
      if (this.isDirty && !hasEnded(this.#info)) {
        await this.#replace({ info: this.#info });
      }
    });
  }

  /** Appends the records the log does not have yet. Records that leave a gap are refused with an Error. */
  append(records: readonly MetricRecord[]): Promise<void> {
    return this.#queue.run(async () => {
      const fresh = records.filter((record) => record.sequence > this.#cursor);
      const last = fresh.at(-1);
      if (!last) {
        return;
      }
      fresh.forEach((record, index) => {
        if (record.sequence !== this.#cursor + 1 + index) {
          throw new Error(
            `metrics of ${this.operationId}: record ${record.sequence} came after ${this.#cursor + index}`,
          );
        }
      });
      const summary = foldMetrics(clone(OperationMetricsSchema, this.#summary), fresh);
      await this.#store.appendMetrics(this.operationId, fresh, toBinary(OperationMetricsSchema, summary));
      this.#cursor = last.sequence;
      this.#summary = summary;
    });
  }

  /** Calls the listener after each new revision, until the returned function is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #replace({ info, dispatched = this.#stored.dispatched }: Change): Promise<boolean> {
    const operation: StoredOperation = { ...this.#stored, info, dispatched };
    const replaced = await this.#store.replace([{ operation, expectedRevision: this.#stored.info.revision }]);
    if (replaced.has(this.operationId)) {
      this.#stored = operation;
      this.#publish(info);
      return true;
    }
    const theirs = await this.#store.get(this.operationId);
    if (!theirs) {
      throw new CallError("OPERATION_NOT_FOUND", `operation ${this.operationId} was deleted`, {
        operationId: this.operationId,
      });
    }
    this.#stored = theirs;
    if (theirs.info.revision > this.#info.revision) {
      this.#publish(theirs.info);
    }
    return false;
  }

  #publish(info: OperationInfo): void {
    const moved = info.revision !== this.#info.revision;
    this.#info = info;
    if (moved) {
      for (const listener of [...this.#listeners]) {
        listener();
      }
    }
  }
}
