import { anyUnpack, StructSchema } from "@bufbuild/protobuf/wkt";
import type { OperationMetrics } from "../../gen/longhaul/v1/metrics_pb.ts";
import { type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { isTerminal } from "../../src/operations/life-cycle.ts";

/** What an operation was created with, as far as it can be checked. */
export interface Created {
  readonly operationType: string;
  /** Metric records that a run of it writes. */
  readonly records: number;
  /** It runs until it is cancelled. */
  readonly hold: boolean;
}

/** A metric record, as far as it can be compared. */
export interface RecordSeen {
  readonly sequence: bigint;
  readonly attempt: number;
  /** Which of its run's records it is, from 1. */
  readonly index: number;
}

interface Known {
  readonly created: Created;
  /** When it was first told, after which point of time, that the operation has got so far; by rank. */
  readonly toldAt: number[];
  /** Each revision that was greater than all before it, and when it was told. */
  readonly revisions: { readonly revision: bigint; readonly toldAtMs: number }[];
  final?: string;
  cursor: bigint;
  /** What each record was, by its sequence. */
  readonly records: Map<bigint, string>;
}

/** The name of a status, "RUNNING". */
export function statusName(status: OperationStatus): string {
  return Object.entries(OperationStatus).find(([, value]) => value === status)?.[0] ?? String(status);
}

/** PENDING, RUNNING, ended. */
function rankOf(status: OperationStatus): number {
  return isTerminal(status) ? 2 : status === OperationStatus.RUNNING ? 1 : 0;
}

/**
 * What clients were told of operations, and what of it another answer took back. An answer counts as later than another
 * one only if its call began after that one's had ended.
 */
export class Told {
  /** What was taken back, in words. */
  readonly broken: string[] = [];
  /** Answers that were marked stale. */
  staleAnswers = 0;
  readonly #operations = new Map<string, Known>();

  /** Ids of the operations whose creation was acknowledged. */
  get ids(): string[] {
    return [...this.#operations.keys()];
  }

  /** What an operation was created with. */
  created(operationId: string): Created | undefined {
    return this.#operations.get(operationId)?.created;
  }

  /** The cursor a client has reached. */
  cursorOf(operationId: string): bigint {
    return this.#operations.get(operationId)?.cursor ?? 0n;
  }

  /** A creation was acknowledged. */
  acknowledge(operation: OperationInfo, created: Created, askedAtMs: number): void {
    if (!this.#operations.has(operation.operationId)) {
      this.#operations.set(operation.operationId, {
        created,
        toldAt: [],
        revisions: [],
        cursor: 0n,
        records: new Map(),
      });
    }
    this.see(operation, askedAtMs);
  }

  /** An operation was answered to a call that was made at a time. */
  see({ operationId, status, revision, completedAt, freshness }: OperationInfo, askedAtMs: number): void {
    const known = this.#operations.get(operationId);
    if (!known) {
      this.broken.push(`${operationId} was answered, but nobody has created it`);
      return;
    }
    const rank = rankOf(status);
    if (freshness?.stale) {
      // It says itself that it may be out of date.
      this.staleAnswers += 1;
      return;
    }
    const floor = known.toldAt.findLastIndex((toldAtMs) => toldAtMs <= askedAtMs);
    if (rank < floor) {
      this.broken.push(`${operationId}: ${statusName(status)} was answered after it had got further`);
    }
    const newest = known.revisions.findLast(({ toldAtMs }) => toldAtMs <= askedAtMs)?.revision ?? 0n;
    if (revision < newest) {
      this.broken.push(`${operationId}: revision ${revision} was answered after ${newest}`);
    }
    if (revision > (known.revisions.at(-1)?.revision ?? 0n)) {
      known.revisions.push({ revision, toldAtMs: performance.now() });
    }
    for (let reached = 0; reached <= rank; reached++) {
      known.toldAt[reached] ??= performance.now();
    }
    if (isTerminal(status)) {
      const final = `${statusName(status)} ${revision} at ${completedAt?.seconds}.${completedAt?.nanos}`;
      known.final ??= final;
      if (known.final !== final) {
        this.broken.push(`${operationId}: ended as ${known.final} and then as ${final}`);
      }
    }
  }

  /** Metric records were answered after a cursor. */
  seeRecords(operationId: string, records: readonly RecordSeen[], asked: bigint, newCursor: bigint): void {
    const known = this.#operations.get(operationId);
    if (!known) {
      return;
    }
    if (newCursor < asked) {
      this.broken.push(`${operationId}: the cursor went from ${asked} back to ${newCursor}`);
    }
    records.forEach(({ sequence, attempt, index }, position) => {
      if (sequence !== asked + BigInt(position + 1)) {
        this.broken.push(`${operationId}: record ${sequence} came where ${asked + BigInt(position + 1)} was due`);
      }
      const content = `attempt ${attempt} index ${index}`;
      const before = known.records.get(sequence) ?? content;
      known.records.set(sequence, before);
      if (before !== content) {
        this.broken.push(`${operationId}: record ${sequence} was ${before} and then ${content}`);
      }
    });
    known.cursor = newCursor > known.cursor ? newCursor : known.cursor;
  }
}

/** The records of an answer. */
export function recordsOf(message: OperationMetrics | undefined): RecordSeen[] {
  const metrics = message?.metrics;
  switch (metrics?.case) {
    case "training":
      return metrics.value.epochs.map(({ sequence, attempt, epoch }) => ({ sequence, attempt, index: epoch }));
    case "custom":
      return metrics.value.records.map(({ sequence, attempt, record }) => {
        const fields = record && anyUnpack(record, StructSchema)?.fields;
        const kind = fields?.["index"]?.kind;
        return { sequence, attempt, index: kind?.case === "numberValue" ? kind.value : Number.NaN };
      });
    default:
      return [];
  }
}
