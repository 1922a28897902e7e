import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { test } from "vitest";
import { OperationInfoSchema, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  CreateOperationRequestSchema,
  type OperationFilter,
  OperationFilterSchema,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import type {
  ListedOperation,
  MetricsAppend,
  OperationChange,
  OperationStore,
  StoredOperation,
} from "../../src/operations/operation-store.ts";
import type { MetricRecord } from "../../src/progress/metric-record.ts";
import type { InstanceStore } from "../../src/replicas/instance-store.ts";

/** A store under test. */
export interface OpenedStore {
  readonly store: OperationStore;
  /** Where its instances are entered. Undefined when the store is one server's alone. */
  readonly instances?: InstanceStore;
  /** Closes the newest store and opens its data again. */
  reopen(): Promise<OperationStore>;
  /** Closes the newest store and removes its data. */
  dispose(): Promise<void>;
}

/** Opens an empty store. */
export type OpenStore = () => Promise<OpenedStore>;

/** A test on an empty store of its own. */
export function storeTest<T extends OpenedStore>(
  open: () => Promise<T>,
  name: string,
  body: (opened: T) => Promise<void>,
): void {
  test(name, async () => {
    const opened = await open();
    try {
      await body(opened);
    } finally {
      await opened.dispose();
    }
  });
}

/** 20 January 2025, in milliseconds. */
export const epochMs = Date.UTC(2025, 0, 20, 9, 30);

/** A moment some milliseconds after `epochMs`. */
export function at(offsetMs: number): Timestamp {
  return timestampFromMs(epochMs + offsetMs);
}

/** The owner of operations, when a test does not say another one. */
export const someOwner = "server-1";

/** What a test says of an operation; the rest is that of a new one. */
export type OperationDraft = Omit<MessageInitShape<typeof OperationInfoSchema>, "$typeName"> & {
  readonly requestId?: string;
  readonly dispatched?: boolean;
  /** Default `someOwner`, also when it has ended. */
  readonly owner?: string;
};

/** A pending training with revision 1, created at `epochMs`. */
export function operation(
  operationId: string,
  { requestId = "", dispatched = false, owner = someOwner, ...info }: OperationDraft = {},
) {
  const stored: StoredOperation = {
    info: create(OperationInfoSchema, {
      operationId,
      operationType: "training",
      status: OperationStatus.PENDING,
      createdAt: at(0),
      progress: { percentage: 0 },
      attempt: 1,
      revision: 1n,
      ...info,
    }),
    request: create(CreateOperationRequestSchema, { operationType: "training", operationName: "a name", requestId }),
    payloadHash: `hash of ${operationId}`,
    dispatched,
    owner,
  };
  return stored;
}

/** An operation that has ended and is kept until `expiresAt`, milliseconds after `epochMs`. */
export function endedOperation(operationId: string, expiresAt: number, draft: OperationDraft = {}): StoredOperation {
  return operation(operationId, {
    status: OperationStatus.COMPLETED,
    completedAt: at(0),
    expiresAt: at(expiresAt),
    ...draft,
  });
}

/** The operation with another revision and other fields of its snapshot. */
export function changed(
  stored: StoredOperation,
  revision: bigint,
  info: Omit<OperationDraft, "requestId" | "dispatched" | "owner"> = {},
): StoredOperation {
  return { ...stored, info: create(OperationInfoSchema, { ...stored.info, ...info, revision } as OperationDraft) };
}

/** The replacement of an operation that is `someOwner`'s and has the revision and status; PENDING by default. */
export function replacement(
  stored: StoredOperation,
  expectedRevision: bigint,
  expectedStatus: OperationStatus = OperationStatus.PENDING,
): OperationChange {
  return { operation: stored, expectedRevision, expectedStatus, expectedOwner: someOwner };
}

/** An append to the log of an operation that is `someOwner`'s. */
export function appending(
  operationId: string,
  records: readonly MetricRecord[],
  summary: Uint8Array,
  owner = someOwner,
): MetricsAppend {
  return { operationId, owner, records, summary };
}

/** Stores an operation that has ended, with the log of records 1 to `count` that it wrote before. */
export async function createWithRecords(store: OperationStore, ended: StoredOperation, count: number): Promise<void> {
  const { operationId } = ended.info;
  const { completedAt: _, expiresAt: __, ...info } = ended.info;
  await store.create({ ...ended, info: { ...info, status: OperationStatus.RUNNING, revision: 0n } });
  await store.appendMetrics(appending(operationId, records(1, count), summary(`${count}`), ended.owner));
  const expected = { expectedRevision: 0n, expectedStatus: OperationStatus.RUNNING, expectedOwner: ended.owner };
  await store.replace([{ operation: ended, ...expected }]);
}

/** A filter. */
export function filter(
  conditions: Omit<MessageInitShape<typeof OperationFilterSchema>, "$typeName"> = {},
): OperationFilter {
  return create(OperationFilterSchema, conditions);
}

/** Metric records with the sequences `from` to `to`. */
export function records(from: number, to: number): MetricRecord[] {
  return Array.from({ length: to - from + 1 }, (_, index) => {
    const sequence = from + index;
    return {
      sequence,
      attempt: 1,
      recordedAtMs: epochMs + sequence,
      kind: "epoch",
      payload: Uint8Array.of(sequence & 0xff, sequence >> 8, 0xff),
    };
  });
}

/** Bytes that stand for a summary. */
export function summary(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** The ids of what a store has answered. */
export function idsOf(found: readonly (ListedOperation | StoredOperation)[]): string[] {
  return found.map(({ info }) => info.operationId);
}
