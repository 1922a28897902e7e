import { clone, equals, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type OperationMetrics, OperationMetricsSchema } from "../../gen/longhaul/v1/metrics_pb.ts";
import { type OperationInfo, OperationInfoSchema } from "../../gen/longhaul/v1/operation_pb.ts";
import type { MetricRecord } from "../progress/metric-record.ts";
import type { CallOrigin } from "./call-origin.ts";
import { CallError } from "./errors.ts";
import { MetricsLimit } from "./metrics-limit.ts";
import { emptySummary, foldMetrics } from "./metrics-summary.ts";
import { rebased } from "./observation.ts";
import type { OperationExecutor } from "./operation-executor.ts";
import { hasEnded, nextSnapshot } from "./operation-snapshot.ts";
import type { OperationSource } from "./operation-source.ts";
import type { MetricsLog, OperationStore, StoredOperation } from "./operation-store.ts";
import type { PulledOperation } from "./pulled-operation.ts";
import { SerialQueue } from "./serial-queue.ts";

/** How often a change is computed anew after another writer of the store was faster. */
const casAttempts = 5;

/** A change of one operation, computed from its current state. */
export interface Change {
  readonly info: OperationInfo;
  /** New value of `StoredOperation.dispatched`; unset leaves it. */
  readonly dispatched?: boolean;
  /** The operation has ended without its work, which is still to be cut off. Default false. */
  readonly cutOff?: boolean;
}

/** What an operation in memory is made of. */
export interface LiveOperationParts {
  readonly store: OperationStore;
  readonly stored: StoredOperation;
  readonly log: MetricsLog;
  /** How the creating call came here. After a restart only its trace is known. Default empty. */
  readonly origin?: CallOrigin;
  /** The most metric records to keep. Default: all. */
  readonly maxMetricRecords?: number;
  readonly now: () => number;
  /** Told when the store was found to hold a request to cancel that is not known here. */
  readonly onRequest?: (operation: LiveOperation, reason: string) => void;
  /** Told once when it has ended or moved, before all who asked for changes. */
  readonly onOver?: (operation: LiveOperation) => void;
}

/**
 * One operation that this server owns, in memory: the newest snapshot, the end of its metrics log, and the only way to
 * change either.
 *
 * I1 `info` is never changed, only replaced by a snapshot with the same or a greater revision.
 * I2 Whatever replaces it or appends to the log runs in `#queue`, one at a time.
 * I3 A change of status is in the store before it is published; `stored` is what the store has.
 * I4 A metric record is in the store before anybody is told of its sequence, so no cursor is lost in a crash.
 * I5 After the terminal status nothing replaces `info` any more.
 * I6 Once the store says that another server owns it, nothing is changed or published any more.
 */
export class LiveOperation implements PulledOperation {
  /** How the creating call came here; after a restart only its trace. */
  readonly origin: CallOrigin;
  /** Where the state comes from. Unset until the work has begun or its host has accepted it. */
  source: OperationSource | undefined;
  /** Who runs it. Unset when nobody here does, which only an operation that is about to end can be. */
  executor: OperationExecutor | undefined;
  /** How many metric records are kept. */
  readonly metricsLimit: MetricsLimit;
  /** The execution_timeout has passed: what ends now has failed by it. */
  timedOut = false;

  readonly #store: OperationStore;
  readonly #now: () => number;
  readonly #owner: string;
  readonly #onRequest: LiveOperationParts["onRequest"];
  readonly #queue = new SerialQueue();
  #onOver: LiveOperationParts["onOver"];
  /** Unset until somebody listens, which nobody does to most operations. */
  #listeners: Set<() => void> | undefined;
  #stored: StoredOperation;
  #info: OperationInfo;
  #cursor: number;
  /** Unset while there are no records. */
  #summary: OperationMetrics | undefined;
  #hasMoved = false;
  #writing: Promise<unknown> | undefined;
  #isInDoubt = false;
  /** The last write, to recognise it when its answer was lost. */
  #written: OperationInfo | undefined;

  constructor({ store, stored, log, now, onRequest, onOver, ...parts }: LiveOperationParts) {
    this.origin = parts.origin ?? { via: [] };
    this.metricsLimit = new MetricsLimit(parts.maxMetricRecords ?? Number.MAX_SAFE_INTEGER, log, stored.info);
    this.#store = store;
    this.#now = now;
    this.#owner = stored.owner;
    this.#onRequest = onRequest;
    this.#onOver = onOver;
    this.#stored = stored;
    // Records are stored before the snapshot that tells of them.
    const metricsCursor = BigInt(Math.max(log.cursor, Number(this.metricsLimit.upTo(stored.info.metricsCursor))));
    this.#info = metricsCursor === stored.info.metricsCursor ? stored.info : { ...stored.info, metricsCursor };
    this.#cursor = log.cursor;
    if (log.summary.length > 0) {
      this.#summary = fromBinary(OperationMetricsSchema, log.summary);
    }
  }

  get operationId(): string {
    return this.#info.operationId;
  }

  get info(): OperationInfo {
    return this.#info;
  }

  /** The operation as it is in the store. */
  get stored(): StoredOperation {
    return this.#stored;
  }

  get cursor(): number {
    return this.#cursor;
  }

  /** The summary of the stored metric records; not to be changed. */
  get summary(): OperationMetrics {
    return this.#summary ?? emptySummary(this.#info.operationType);
  }

  get dropsRecords(): boolean {
    return this.metricsLimit.isExceeded;
  }

  get hasMoved(): boolean {
    return this.#hasMoved;
  }

  get isOver(): boolean {
    return this.#hasMoved || hasEnded(this.#info);
  }

  /** The newest snapshot is not in the store yet. */
  get isDirty(): boolean {
    return this.#info.revision !== this.#stored.info.revision;
  }

  /** A write of this operation that is under way: others may see in the store what is not published here yet. */
  get writing(): Promise<unknown> | undefined {
    return this.#writing;
  }

  /** A write has failed, and may be in the store all the same: only `reload` tells. */
  get isInDoubt(): boolean {
    return this.#isInDoubt;
  }

  /**
   * Stores a change, then publishes it. `compute` sees the current snapshot and answers undefined when the change is
   * not to be made; it may be called again when another writer was faster. Answers whether the change was made.
   */
  change(compute: (current: OperationInfo) => Change | undefined): Promise<boolean> {
    return this.#queue.run(() => this.#change(compute));
  }

  /** Publishes a snapshot that need not be stored at once. `compute` must not change the status. */
  observe(compute: (current: OperationInfo) => OperationInfo): Promise<void> {
    return this.#queue.run(() => {
      if (!this.isOver) {
        this.#publish(compute(this.#info));
      }
    });
  }

  /** Stores the newest snapshot if that has not been done; when another writer was faster, theirs stays. */
  flush(): Promise<void> {
    return this.#queue.run(async () => {
      if (this.isDirty && !this.isOver) {
        await this.#replace({ info: this.#info });
      }
    });
  }

  /** Takes over what others have written to the store. */
  reload(): Promise<void> {
    return this.#queue.run(() => (this.isOver ? undefined : this.#reload()));
  }

  /**
   * Appends the records the log does not have yet, as far as its limit allows. Records that leave a gap are refused with
   * an Error.
   */
  append(records: readonly MetricRecord[]): Promise<void> {
    return this.#queue.run(async () => {
      const fresh = records.filter((record) => record.sequence > this.#cursor);
      const last = fresh.at(-1);
      if (!last || this.isOver || this.dropsRecords) {
        return;
      }
      fresh.forEach((record, index) => {
        if (record.sequence !== this.#cursor + 1 + index) {
          throw new Error(
            `metrics of ${this.operationId}: record ${record.sequence} came after ${this.#cursor + index}`,
          );
        }
      });
      if (this.metricsLimit.keeps(last.sequence)) {
        await this.#append(fresh, last);
        return;
      }
      const kept = fresh.filter(({ sequence }) => this.metricsLimit.keeps(sequence));
      const lastKept = kept.at(-1);
      if (!lastKept || (await this.#append(kept, lastKept))) {
        await this.#exceedLimit();
      }
    });
  }

  onChange(listener: () => void): () => void {
    this.#listeners ??= new Set();
    this.#listeners.add(listener);
    return () => this.#listeners?.delete(listener);
  }

  /** Gives the operation up: this server was taken for dead. */
  leave(): void {
    this.#hasMoved = true;
    this.#tell();
  }

  async #change(compute: (current: OperationInfo) => Change | undefined): Promise<boolean> {
    for (let attempt = 0; attempt < casAttempts; attempt++) {
      const change = this.isOver ? undefined : compute(this.#info);
      if (!change) {
        return false;
      }
      // I4: an ended operation tells of the records that are there, whatever its source said of more.
      const metricsCursor = BigInt(this.#cursor);
      const info = hasEnded(change.info) ? { ...change.info, metricsCursor } : change.info;
      if (await this.#replace({ ...change, info })) {
        return true;
      }
    }
    throw new CallError("CONCURRENT_CHANGE", `operation ${this.operationId} is being changed by others`, {
      operationId: this.operationId,
    });
  }

  async #append(records: readonly MetricRecord[], last: MetricRecord): Promise<boolean> {
    const summary = foldMetrics(clone(OperationMetricsSchema, this.summary), records);
    const appended = await this.#store.appendMetrics({
      operationId: this.operationId,
      owner: this.#owner,
      records,
      summary: toBinary(OperationMetricsSchema, summary),
    });
    if (!appended) {
      await this.#reload();
      return false;
    }
    this.#cursor = last.sequence;
    this.#summary = summary;
    return true;
  }

  /** Stores and shows that records are dropped, once. */
  async #exceedLimit(): Promise<void> {
    const { metricsLimit } = this;
    await this.#change((current) => {
      const warnings = metricsLimit.withWarning(current.warnings, current.warnings);
      return { info: nextSnapshot(current, { warnings }, this.#now()) };
    });
    metricsLimit.exceed();
  }

  async #replace({ info, dispatched = this.#stored.dispatched, cutOff = false }: Change): Promise<boolean> {
    const owner = hasEnded(info) && !cutOff ? "" : this.#owner;
    const operation: StoredOperation = { ...this.#stored, info, dispatched, owner };
    const { revision: expectedRevision, status: expectedStatus } = this.#stored.info;
    const write = this.#store.replace([{ operation, expectedRevision, expectedStatus, expectedOwner: this.#owner }]);
    this.#writing = write;
    this.#written = info;
    try {
      const isReplaced = (await write).has(this.operationId);
      this.#isInDoubt = false;
      if (!isReplaced) {
        await this.#reload();
        return false;
      }
      this.#stored = operation;
      this.#publish(info);
      return true;
    } catch (error) {
      this.#isInDoubt = true;
      throw error;
    } finally {
      this.#writing = undefined;
    }
  }

  async #reload(): Promise<void> {
    const theirs = await this.#store.get(this.operationId);
    this.#isInDoubt = false;
    const isMine =
      theirs?.owner === this.#owner ||
      (theirs && this.#written && equals(OperationInfoSchema, theirs.info, this.#written));
    if (!theirs || !isMine) {
      this.leave();
      return;
    }
    const mine = this.isDirty ? this.#info : undefined;
    const request = this.#info.cancellation ? undefined : theirs.info.cancellation;
    this.#stored = theirs;
    this.#publish(mine && !hasEnded(theirs.info) ? rebased(theirs.info, mine, this.#now()) : theirs.info);
    if (request && !this.isOver) {
      this.#onRequest?.(this, request.reason);
    }
  }

  #publish(info: OperationInfo): void {
    const moved = info.revision !== this.#info.revision;
    this.#info = info;
    if (moved) {
      this.#tell();
    }
  }

  #tell(): void {
    if (this.isOver) {
      const onOver = this.#onOver;
      this.#onOver = undefined;
      onOver?.(this);
    }
    for (const listener of [...(this.#listeners ?? [])]) {
      listener();
    }
  }
}
