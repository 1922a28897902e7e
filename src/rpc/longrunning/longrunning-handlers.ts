import { create } from "@bufbuild/protobuf";
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Operations } from "../../../gen/google/longrunning/operations_pb.ts";
import type { OperationInfo } from "../../../gen/longhaul/v1/operation_pb.ts";
import { OperationFilterSchema } from "../../../gen/longhaul/v1/operations_service_pb.ts";
import { invalidField } from "../../operations/errors.ts";
import type { RegistryView } from "../registry-view.ts";
import { waitTimeMs } from "../wait-time.ts";
import { conditionFromFilter } from "./compile-filter.ts";
import { operationFromInfo } from "./operation-message.ts";
import { checkCollection, idFromName, nameFromId } from "./operation-name.ts";

/** What those read who wonder why an operation was cancelled; the request has no reason. */
const cancelReason = "cancelled through google.longrunning";

/**
 * The RPCs of google.longrunning.Operations on top of the registry, as far as each caller may see it: the same
 * operations as longhaul.v1 has, under the names "operations/{operation_id}".
 *
 * ListOperations takes AIP-160 filters. It lists operations whose host or owner could not be asked as they were last
 * seen; with return_partial_success it leaves them out and names them in `unreachable` instead.
 */
export function createLongrunningHandlers(viewOf: RegistryView): ServiceImpl<typeof Operations> {
  return {
    async getOperation({ name }, context) {
      return operationFromInfo(await viewOf(context).getOperation(idFromName(name)));
    },
    async listOperations({ name, filter, pageSize, pageToken, returnPartialSuccess }, context) {
      checkCollection(name);
      const condition = conditionFromFilter(filter);
      const page = await viewOf(context).listOperations(
        create(OperationFilterSchema),
        sizeOf(pageSize),
        pageToken,
        condition,
      );
      const isLeftOut = (info: OperationInfo) => returnPartialSuccess && info.freshness?.stale === true;
      return {
        operations: page.operations.filter((info) => !isLeftOut(info)).map(operationFromInfo),
        unreachable: page.operations.filter(isLeftOut).map(({ operationId }) => nameFromId(operationId)),
        nextPageToken: page.nextPageToken,
      };
    },
    async cancelOperation({ name }, context) {
      await viewOf(context).cancelOperation(idFromName(name), cancelReason);
      return {};
    },
    async deleteOperation({ name }, context) {
      await viewOf(context).deleteOperation(idFromName(name));
      return {};
    },
    async waitOperation({ name, timeout }, context) {
      const info = await viewOf(context).waitOperation(idFromName(name), {
        knownRevision: 0n,
        untilDone: true,
        timeoutMs: waitTimeMs(timeoutMsOf(timeout), context),
        signal: context.signal,
      });
      return operationFromInfo(info);
    },
  };
}

/** 0 is the default of 50, and more than 1000 is 1000, as in longhaul.v1. */
function sizeOf(pageSize: number): number {
  if (pageSize < 0) {
    throw invalidField("page_size", `${pageSize} is negative; 0 means 50`);
  }
  return pageSize === 0 ? 50 : Math.min(pageSize, 1_000);
}

function timeoutMsOf(timeout: Duration | undefined): number | undefined {
  const timeoutMs = timeout && durationMs(timeout);
  if (timeoutMs !== undefined && timeoutMs < 0) {
    throw invalidField("timeout", `${timeoutMs} ms is negative; 0 answers at once`);
  }
  return timeoutMs;
}
