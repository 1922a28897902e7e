import { create } from "@bufbuild/protobuf";
import { type Duration, durationFromMs, durationMs, type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
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

/** There is more to be had. */
const atOnce = durationFromMs(0);

/**
 * The RPCs of longhaul.v1.OperationsService on top of the registry, as far as each caller may see it. Their requests
 * keep the rules of the protos.
 */
export function createOperationsHandlers(viewOf: RegistryView): ServiceImpl<typeof OperationsServiceDesc> {
  const gets = new PollAnswers(GetOperationResponseSchema);
  const waits = new PollAnswers(WaitOperationResponseSchema);
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
  const isBetweenServers = (context: HandlerContext) => context.values.get(originKey).owner !== undefined;
  return {
    async createOperation(request, context) {
      const view = viewOf(context);
      const operation = await view.createOperation(request, { origin: context.values.get(originKey) });
      return { operation, ...advised(view.pollAfter(operation)) };
    },
    async getOperation({ operationId, maxStaleness, knownRevision }, context) {
      if (isBetweenServers(context)) {
        await refuseUnowned(operationId, context);
      }
      const view = viewOf(context);
      const info = await view.getOperation(operationId, durationOr(maxStaleness, undefined), knownRevision);
      return gets.of(info, isKnown(info, knownRevision), view.pollAfter(info));
    },
    async batchGetOperations({ operations: asked, maxStaleness }, context) {
      const known = new Map(asked.map(({ operationId, knownRevision }) => [operationId, knownRevision]));
      const ids = await answerable(
        asked.map(({ operationId }) => operationId),
        context,
      );
      const view = viewOf(context);
      const found = await view.getOperations(ids, durationOr(maxStaleness, undefined), known);
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
      return {
        operations: changed,
        notFound,
        ...advised(earliest([...found.values()].map((info) => view.pollAfter(info)))),
        ...(observedAt && { observedAt }),
      };
    },
    async waitOperation({ operationId, knownRevision, untilDone, timeout }, context) {
      await refuseUnowned(operationId, context);
      const view = viewOf(context);
      const info = await view.waitOperation(operationId, {
        knownRevision,
        untilDone,
        timeoutMs: waitTimeMs(durationOr(timeout, undefined), context),
        signal: context.signal,
      });
      return waits.of(info, isKnown(info, knownRevision), view.pollAfter(info, true));
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
      const view = viewOf(context);
      const operation = await view.retryOperation(operationId, requestId, context.values.get(originKey));
      return { operation, ...advised(view.pollAfter(operation)) };
    },
    async deleteOperation({ operationId }, context) {
      await viewOf(context).deleteOperation(operationId);
      return {};
    },
    async getMetrics({ operationId, cursor, maxRecords, latest }, context) {
      await refuseUnowned(operationId, context);
      const view = viewOf(context);
      const page = await view.getMetrics(operationId, {
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
        ...advised(hasMore ? atOnce : view.pollAfter(operation)),
      };
    },
  };
}

function advised(pollAfter: Duration | undefined): { pollAfter?: Duration } {
  return pollAfter ? { pollAfter } : {};
}

/** The shortest of the durations there are. */
function earliest(durations: readonly (Duration | undefined)[]): Duration | undefined {
  return durations.reduce((a, b) => (a && b && durationMs(a) <= durationMs(b) ? a : (b ?? a)), undefined);
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
