import { createHash } from "node:crypto";
import { clone, create, toJson } from "@bufbuild/protobuf";
import { OperationProgressSchema } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  type CreateOperationRequest,
  CreateOperationRequestSchema,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import { CallError } from "./errors.ts";
import { createOperationId } from "./operation-id.ts";
import { pendingSnapshot } from "./operation-snapshot.ts";
import type { CreateOutcome, StoredOperation } from "./operation-store.ts";

/** What the registry adds to a creator's request. */
export interface NewOperation {
  readonly request: CreateOperationRequest;
  /** URL of the host that will run it; empty for this process. */
  readonly host: string;
  /** Which run of the work this is; more than 1 for a retry. */
  readonly attempt: number;
  /** The operation this one retries; empty when it is not a retry. */
  readonly retryOf: string;
}

/**
 * The record of a new operation, ready to be stored. `owner` is the instance id of this server, `traceparent` the trace
 * of the call.
 */
export function newStoredOperation(
  { request, host, attempt, retryOf }: NewOperation,
  owner: string,
  nowMs: number,
  traceparent?: string,
): StoredOperation {
  const operationId = request.operationId || createOperationId(request.operationType, nowMs);
  // A copy, because the creator may reuse the objects it passed.
  const own = create(CreateOperationRequestSchema, { ...clone(CreateOperationRequestSchema, request), operationId });
  const { operationType, operationName, parentOperationId, labels, metadata } = own;
  return {
    request: own,
    payloadHash: payloadHash(request, retryOf),
    dispatched: false,
    owner,
    ...(traceparent !== undefined && { traceparent }),
    info: pendingSnapshot(
      {
        operationId,
        operationType,
        operationName,
        parentOperationId,
        labels,
        ...(metadata && { metadata }),
        progress: create(OperationProgressSchema, { stepsTotal: request.totalSteps }),
        host,
        attempt,
        retryOf,
      },
      nowMs,
    ),
  };
}

/** The operation a repeated create names, or a CallError when the new request is another one. */
export function existingOperation(
  wanted: StoredOperation,
  outcome: Exclude<CreateOutcome, { created: true }>,
): StoredOperation {
  const { existing, conflict } = outcome;
  const { requestId } = wanted.request;
  const { operationId } = existing.info;
  if (requestId !== "" && existing.request.requestId === requestId) {
    if (existing.payloadHash === wanted.payloadHash) {
      return existing;
    }
    throw new CallError(
      "REQUEST_ID_REUSED",
      `request_id ${JSON.stringify(requestId)} was used with another payload, for operation ${operationId}`,
      { operationId },
    );
  }
  throw new CallError(
    conflict === "operation_id" ? "OPERATION_ID_IN_USE" : "REQUEST_ID_REUSED",
    `operation ${operationId} exists already and was not created by this request`,
    { operationId },
  );
}

/**
 * Digest of what a request asks for, its request_id apart. Taken over JSON with sorted keys, because the binary form
 * orders maps as it likes.
 */
function payloadHash(request: CreateOperationRequest, retryOf: string): string {
  const payload = toJson(CreateOperationRequestSchema, { ...request, requestId: "" });
  return createHash("sha256")
    .update(JSON.stringify([retryOf, payload], sortKeys))
    .digest("base64url");
}

function sortKeys(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return value;
  }
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
