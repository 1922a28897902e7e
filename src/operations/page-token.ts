import { createHash } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import { type OperationFilter, OperationFilterSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { CallError } from "./errors.ts";
import type { OperationCondition } from "./operation-condition.ts";
import type { PageKey } from "./operation-store.ts";

/**
 * Makes the token of the page after a position. It is bound to the filter and the condition, and says nothing a caller
 * may rely on.
 */
export function encodePageToken(key: PageKey, filter: OperationFilter, condition?: OperationCondition): string {
  const digest = digestOf(filter, condition);
  return Buffer.from(JSON.stringify([key.createdAtMs, key.operationId, digest])).toString("base64url");
}

/**
 * Reads a token made by encodePageToken for the same filter and condition; any other text is a CallError
 * INVALID_PAGE_TOKEN.
 */
export function decodePageToken(token: string, filter: OperationFilter, condition?: OperationCondition): PageKey {
  const refuse = (why: string) =>
    new CallError("INVALID_PAGE_TOKEN", `page_token: ${why}`, {
      violations: [{ field: "page_token", description: why }],
    });
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(token, "base64url").toString());
  } catch {
    throw refuse("not a token of this service");
  }
  const [createdAtMs, operationId, digest] = Array.isArray(parts) ? parts : [];
  if (!Number.isSafeInteger(createdAtMs) || typeof operationId !== "string" || typeof digest !== "string") {
    throw refuse("not a token of this service");
  }
  if (digest !== digestOf(filter, condition)) {
    throw refuse("it belongs to a list with another filter; begin again without a token");
  }
  return { createdAtMs, operationId };
}

function digestOf(filter: OperationFilter, condition: OperationCondition | undefined): string {
  const labels = Object.fromEntries(Object.entries(filter.labels).sort(([a], [b]) => (a < b ? -1 : 1)));
  return createHash("sha256")
    .update(toBinary(OperationFilterSchema, { ...filter, labels }))
    .update(JSON.stringify(condition) ?? "")
    .digest("base64url")
    .slice(0, 16);
}
