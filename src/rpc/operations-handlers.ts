import { create } from "@bufbuild/protobuf";
import { type Duration, durationFromMs, type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  type CountOperationsResponse,
  CountOperationsResponseSchema,
  OperationFilterSchema,
  type OperationsService as OperationsServiceDesc,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import { CallError } from "../operations/errors.ts";
import { hasEnded } from "../operations/operation-snapshot.ts";
import type { OperationCount } from "../operations/operation-store.ts";
import type { OperationsService } from "../operations/operations-service.ts";
import { clampCount, durationOr } from "../operations/request-checks.ts";
import { originKey } from "./read-origin.ts";

/** The longest WaitOperation, in milliseconds: below the idle timeout of 60 s that proxies commonly have. */
const longestWaitMs = 55_000;
const defaultWaitMs = 30_000;
/** Part of the caller's deadline that is left for the answer's way back: a twentieth, at least 20 ms. */
const answerShare = 0.05;
const answerMinimumMs = 20;
/** The shortest advice for the next poll, in milliseconds. */
const minimumPollMs = 250;

/** The RPCs of longhaul.v1.OperationsService on top of the registry. Their requests keep the rules of the protos. */
export function createOperationsHandlers(
  operations: OperationsService,
  cacheTtlMs: number,
): ServiceImpl<typeof OperationsServiceDesc> {
  const pollMs = Math.max(cacheTtlMs, minimumPollMs);
  const pollAfter = (info: OperationInfo, ms = pollMs): { pollAfter?: Duration } =>
    hasEnded(info) ? {} : { pollAfter: durationFromMs(ms) };
  const unlessKnown = (info: OperationInfo, knownRevision: bigint, ms = pollMs) => ({
    ...(isKnown(info, knownRevision) ? { notModified: true } : { operation: info }),
    ...(info.freshness && { freshness: info.freshness }),
    ...pollAfter(info, ms),
  });
  /** The operations a call may be answered for: between servers of one store, those that the one it is meant for owns. */
  const answerable = async (operationIds: readonly string[], context: HandlerContext): Promise<readonly string[]> => {
    const { owner } = context.values.get(originKey);
    return owner === undefined ? operationIds : operations.ownedOf(operationIds, owner);
  };
  const refuseUnowned = async (operationId: string, context: HandlerContext): Promise<void> => {
    if ((await answerable([operationId], context)).length === 0) {
      throw new CallError("OPERATION_NOT_FOUND", `this server does not own operation ${operationId}`, { operationId });
    }
  };
  return {
    async createOperation(request, context) {
      const operation = await operations.createOperation(request, { origin: context.values.get(originKey) });
      return { operation, ...pollAfter(operation) };
    },
    async getOperation({ operationId, maxStaleness, knownRevision }, context) {
      await refuseUnowned(operationId, context);
      const maxStalenessMs = durationOr(maxStaleness, undefined);
      return unlessKnown(await operations.getOperation(operationId, maxStalenessMs, knownRevision), knownRevision);
    },
    async batchGetOperations({ operations: asked, maxStaleness }, context) {
      const known = new Map(asked.map(({ operationId, knownRevision }) => [operationId, knownRevision]));
      const ids = await answerable(
        asked.map(({ operationId }) => operationId),
        context,
      );
      const found = await operations.getOperations(ids, durationOr(maxStaleness, undefined), known);
      const changed: OperationInfo[] = [];
      const notFound: string[] = [];
      let observedAt: Timestamp | undefined;
      for (const { operationId, knownRevision } of asked) {
        const info = found.get(operationId);
        if (!info) {
          notFound.push(operationId);
        } else if (!isKnown(info, knownRevision) || info.freshness?.stale) {
          changed.push(info);
        } else if (!hasEnded(info)) {
          observedAt = earlier(observedAt, info.freshness?.observedAt);
        }
      }
      const live = [...found.values()].find((info) => !hasEnded(info));
      return { operations: changed, notFound, ...(live && pollAfter(live)), ...(observedAt && { observedAt }) };
    },
    async waitOperation({ operationId, knownRevision, untilDone, timeout }, context) {
      await refuseUnowned(operationId, context);
      const wantedMs = Math.min(durationOr(timeout, defaultWaitMs), longestWaitMs);
      const info = await operations.waitOperation(operationId, {
        knownRevision,
        untilDone,
        timeoutMs: Math.min(wantedMs, timeLeftMs(context)),
        signal: context.signal,
      });
      // The wait itself has been the pause.
      return unlessKnown(info, knownRevision, minimumPollMs);
    },
    async listOperations({ filter, pageSize, pageToken }) {
      const size = clampCount(pageSize, 50, 1_000);
      return operations.listOperations(filter ?? create(OperationFilterSchema), size, pageToken);
    },
    async countOperations({ filter }) {
      return countsMessage(await operations.countOperations(filter ?? create(OperationFilterSchema)));
    },
    async cancelOperation({ operationId, reason, force }, context) {
      await refuseUnowned(operationId, context);
      return { operation: await operations.cancelOperation(operationId, reason, { force }) };
    },
    async cancelOperations({ filter, reason }) {
      const operationIds = await operations.cancelOperations(filter ?? create(OperationFilterSchema), reason);
      return { operationIds, cancelledCount: operationIds.length };
    },
    async retryOperation({ operationId, requestId }, context) {
      const operation = await operations.retryOperation(operationId, requestId, context.values.get(originKey));
      return { operation, ...pollAfter(operation) };
    },
    async deleteOperation({ operationId }) {
      await operations.deleteOperation(operationId);
      return {};
    },
    async getMetrics({ operationId, cursor, maxRecords, latest }, context) {
      await refuseUnowned(operationId, context);
      const page = await operations.getMetrics(operationId, {
        cursor: Number(cursor),
        maxRecords: clampCount(maxRecords, 1_000, 10_000),
        latest,
      });
      const { operation, metrics, newCursor, hasMore } = page;
      return {
        metrics,
        newCursor: BigInt(newCursor),
        hasMore,
        ...(operation.freshness && { freshness: operation.freshness }),
        ...(hasMore ? { pollAfter: durationFromMs(0) } : pollAfter(operation)),
      };
    },
  };
}

function earlier(a: Timestamp | undefined, b: Timestamp | undefined): Timestamp | undefined {
  return a && b && timestampMs(a) <= timestampMs(b) ? a : (b ?? a);
}

/** Whether the caller's revision is the current one, or newer than what is known here of an operation out of reach. */
function isKnown({ revision, freshness }: OperationInfo, knownRevision: bigint): boolean {
  return knownRevision === revision || (freshness?.stale === true && knownRevision > revision);
}

/** How long the caller will wait for an answer, less the time it needs to get back. */
function timeLeftMs(context: HandlerContext): number {
  const leftMs = context.timeoutMs();
  return leftMs === undefined ? longestWaitMs : leftMs - Math.max(answerMinimumMs, leftMs * answerShare);
}

function countsMessage(counts: readonly OperationCount[]): CountOperationsResponse {
  const byStatus = new Map<OperationStatus, bigint>();
  const byType: Record<string, bigint> = {};
  let total = 0n;
  for (const { status, operationType, count } of counts) {
    total += BigInt(count);
    byStatus.set(status, (byStatus.get(status) ?? 0n) + BigInt(count));
    byType[operationType] = (byType[operationType] ?? 0n) + BigInt(count);
  }
  return create(CountOperationsResponseSchema, {
    total,
    byType,
    byStatus: [...byStatus].sort(([a], [b]) => a - b).map(([status, count]) => ({ status, count })),
  });
}
