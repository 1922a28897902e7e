import type { OperationInfo } from "../../gen/longhaul/v1/operation_pb.ts";
import type { MetricRecord } from "../progress/metric-record.ts";
import { hasEnded } from "./operation-snapshot.ts";
import type { OperationSource, PullResult } from "./operation-source.ts";
import type { OperationStore } from "./operation-store.ts";
import type { PulledOperation } from "./pulled-operation.ts";

/** What a followed operation is made of. */
export interface FollowedOperationParts {
  readonly store: OperationStore;
  /** The newest snapshot known, from the store. */
  readonly info: OperationInfo;
  /** Instance id of the server that owns it. */
  readonly owner: string;
  /** Finds the owner as a source; undefined while that is not known to be alive. */
  readonly findSource: () => OperationSource | undefined;
}

const ownerIsGone = "the server that owned it is gone, and no other has taken it over yet";

/** How long it may take to tell an owner of a request, in milliseconds. */
const requestTimeoutMs = 5_000;

/** What stands for an owner that is not known to be alive. */
const goneOwner: OperationSource = {
  host: "",
  pull: async () => ({ outcome: "unreachable", reason: ownerIsGone }),
  cancel: async () => ({ outcome: "unreachable", reason: ownerIsGone }),
  close: () => {},
};

/**
 * An operation that another server owns, as this one sees it.
 *
 * I1 Revisions are the owner's and the store's alone; only a snapshot of a greater revision replaces `info`.
 * I2 What the owner cannot be asked for comes from the store and is marked stale, under its own revision: of the same
 *    revision, every server shows the same.
 * I3 Once the store names another owner, the operation has moved, and nothing is replaced any more.
 * I4 A request to cancel that is in the store is not taken back, although the owner may not have seen it yet.
 */
export class FollowedOperation implements PulledOperation {
  readonly owner: string;
  /** What the owner drops it does not send. */
  readonly dropsRecords = false;
  readonly #store: OperationStore;
  readonly #findSource: () => OperationSource | undefined;
  readonly #listeners = new Set<() => void>();
  #info: OperationInfo;
  #cursor = 0;
  #hasMoved = false;
  #source: OperationSource | undefined;
  #staleReason: string | undefined;

  constructor({ store, info, owner, findSource }: FollowedOperationParts) {
    this.owner = owner;
    this.#store = store;
    this.#findSource = findSource;
    this.#info = info;
  }

  /** The owner, or what stands for it. */
  get source(): OperationSource {
    this.#source ??= this.#findSource();
    return this.#source ?? goneOwner;
  }

  get info(): OperationInfo {
    return this.#info;
  }

  /** Why the owner could not be asked the last time; undefined when it could. */
  get staleReason(): string | undefined {
    return this.#staleReason;
  }

  get cursor(): number {
    return this.#cursor;
  }

  get hasMoved(): boolean {
    return this.#hasMoved;
  }

  get isOver(): boolean {
    return this.#hasMoved || hasEnded(this.#info);
  }

  /** The owner has stored them before it sent them; only their end is new. */
  async append(records: readonly MetricRecord[]): Promise<void> {
    this.#cursor = records.at(-1)?.sequence ?? this.#cursor;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Draws the conclusions from one pull. */
  async settle(result: PullResult): Promise<void> {
    if (result.outcome === "observed") {
      this.#staleReason = undefined;
      this.#observed(result.info);
    } else {
      await this.reload(result.reason);
    }
  }

  /** Takes what the store has; `staleReason` says why the owner was not asked. Never rejects. */
  async reload(staleReason: string): Promise<void> {
    this.#staleReason = staleReason;
    try {
      const stored = await this.#store.get(this.#info.operationId);
      if (!stored || (stored.owner !== this.owner && !hasEnded(stored.info))) {
        this.#hasMoved = true;
        this.#tell();
        return;
      }
      this.#take(stored.info);
    } catch {
      // Then what is known here has to do, and it is marked as stale already.
    }
  }

  /** I4: the owner is told of a request that another server has written, should it not have seen it yet. */
  #observed(info: OperationInfo): void {
    const { cancellation } = this.#info;
    if (!cancellation || info.cancellation || hasEnded(info)) {
      this.#take(info);
      return;
    }
    this.#staleReason = "the server that owns it has not taken up its cancellation yet";
    this.#take({ ...info, cancellation });
    const signal = AbortSignal.timeout(requestTimeoutMs);
    void this.source.cancel({ reason: cancellation.reason, force: false, signal });
  }

  #take(info: OperationInfo): void {
    if (this.isOver || info.revision < this.#info.revision) {
      return;
    }
    const isNew = info.revision !== this.#info.revision;
    this.#info = info;
    if (isNew) {
      this.#tell();
    }
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) {
      listener();
    }
  }
}
