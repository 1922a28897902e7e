import { create } from "@bufbuild/protobuf";
import { type Duration, durationFromMs, type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  type CountOperationsResponse,
  CountOperationsResponseSchema,
  GetOperationResponseSchema,
  OperationFilterSchema,
  type OperationsService as OperationsServiceDesc,
  WaitOperationResponseSchema,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import { CallError } from "../operations/errors.ts";
import { hasEnded } from "../operations/operation-snapshot.ts";
import type { OperationCount } from "../operations/operation-store.ts";
import { clampCount, durationOr } from "../operations/request-checks.ts";
import { PollAnswers } from "./poll-answers.ts";
import { originKey } from "./read-origin.ts";
import type { RegistryView } from "./registry-view.ts";
import { waitTimeMs } from "./wait-time.ts";

/** The shortest advice for the next poll, in milliseconds. */
const minimumPollMs = 250;

/**
 * The RPCs of longhaul.v1.OperationsService on top of the registry, as far as each caller may see it. Their requests
 * keep the rules of the protos.
 */
export function createOperationsHandlers(
  viewOf: RegistryView,
  cacheTtlMs: number,
): ServiceImpl<typeof OperationsServiceDesc> {
  const usualPoll = durationFromMs(Math.max(cacheTtlMs, minimumPollMs));
  // A wait itself has been the pause.
  const afterWait = durationFromMs(minimumPollMs);
  const gets = new PollAnswers(GetOperationResponseSchema);
  const waits = new PollAnswers(WaitOperationResponseSchema);
  const pollAfter = (info: OperationInfo): { pollAfter?: Duration } => (hasEnded(info) ? {} : { pollAfter: usualPoll });
  /** The operations a call may be answered for: between servers of one store, those that the one it is meant for owns. */
  const answerable = async (operationIds: readonly string[], context: HandlerContext): Promise<readonly string[]> => {
    const { owner } = context.values.get(originKey);
    return owner === undefined ? operationIds : viewOf(context).ownedOf(operationIds, owner);
  };
  const refuseUnowned = async (operationId: string, context: HandlerContext): Promise<void> => {
    if ((await answerable([operationId], context)).length === 0) {
      throw new CallError("OPERATION_NOT_FOUND", `this server does not own operation ${operationId}`, { operationId });
    }
  };
  return {
    async createOperation(request, context) {
      const operation = await viewOf(context).createOperation(request, { origin: context.values.get(originKey) });
      return { operation, ...pollAfter(operation) };
    },
    async getOperation({ operationId, maxStaleness, knownRevision }, context) {
      await refuseUnowned(operationId, context);
      const maxStalenessMs = durationOr(maxStaleness, undefined);
      const info = await viewOf(context).getOperation(operationId, maxStalenessMs, knownRevision);
      return gets.of(info, isKnown(info, knownRevision), pollAfter(info).pollAfter);
    },
    async batchGetOperations({ operations: asked, maxStaleness }, context) {
      const known = new Map(asked.map(({ operationId, knownRevision }) => [operationId, knownRevision]));
      const ids = await answerable(
        asked.map(({ operationId }) => operationId),
        context,
      );
      const found = await viewOf(context).getOperations(ids, durationOr(maxStaleness, undefined), known);
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
      const info = await viewOf(context).waitOperation(operationId, {
        knownRevision,
        untilDone,
        timeoutMs: waitTimeMs(durationOr(timeout, undefined), context),
        signal: context.signal,
      });
      return waits.of(info, isKnown(info, knownRevision), hasEnded(info) ? undefined : afterWait);
    },
    async listOperations({ filter, pageSize, pageToken }, context) {
      const size = clampCount(pageSize, 50, 1_000);
      return viewOf(context).listOperations(filter ?? create(OperationFilterSchema), size, pageToken);
    },
    async countOperations({ filter }, context) {
      return countsMessage(await viewOf(context).countOperations(filter ?? create(OperationFilterSchema)));
    },
    async cancelOperation({ operationId, reason, force }, context) {
      await refuseUnowned(operationId, context);
      return { operation: await viewOf(context).cancelOperation(operationId, reason, { force }) };
    },
    async cancelOperations({ filter, reason }, context) {
      const operationIds = await viewOf(context).cancelOperations(filter ?? create(OperationFilterSchema), reason);
      return { operationIds, cancelledCount: operationIds.length };
    },
    async retryOperation({ operationId, requestId }, context) {
      const operation = await viewOf(context).retryOperation(operationId, requestId, context.values.get(originKey));
      return { operation, ...pollAfter(operation) };
    },
    async deleteOperation({ operationId }, context) {
      await viewOf(context).deleteOperation(operationId);
      return {};
    },
    async getMetrics({ operationId, cursor, maxRecords, latest }, context) {
      await refuseUnowned(operationId, context);
      const page = await viewOf(context).getMetrics(operationId, {
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
