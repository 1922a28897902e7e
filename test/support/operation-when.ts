import { toJsonString } from "@bufbuild/protobuf";
import { vi } from "vitest";
import { type OperationInfo, OperationInfoSchema, type OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { OperationsClient } from "./test-client.ts";

/** How long a test waits for something that must come, in milliseconds. */
export const deadlineMs = 10_000;

/** Asks for an operation until it is as wanted, and answers it so. Fails with the last answer after a deadline. */
export function operationWhen(
  client: OperationsClient,
  operationId: string,
  isSo: (operation: OperationInfo) => boolean,
): Promise<OperationInfo> {
  return vi.waitFor(
    async () => {
      const { operation } = await client.getOperation({ operationId });
      if (!operation || !isSo(operation)) {
        const seen = operation ? toJsonString(OperationInfoSchema, operation) : "no operation";
        throw new Error(`the operation did not become as wanted: ${seen}`);
      }
      return operation;
    },
    { timeout: deadlineMs, interval: 20 },
  );
}

/** Asks for an operation until it is in a status, and answers it so. */
export function operationIn(
  client: OperationsClient,
  operationId: string,
  status: OperationStatus,
): Promise<OperationInfo> {
  return operationWhen(client, operationId, (operation) => operation.status === status);
}
