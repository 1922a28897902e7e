import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { Operations } from "../../../gen/google/longrunning/operations_pb.ts";
import type { OperationInfo } from "../../../gen/longhaul/v1/operation_pb.ts";
import { OperationFilterSchema } from "../../../gen/longhaul/v1/operations_service_pb.ts";
import type { OperationsFor } from "../../access/operations-for.ts";
import type { OperationsView } from "../../access/scoped-operations.ts";
import { clampCount } from "../../operations/request-checks.ts";
import { callerKey } from "../caller.ts";
import { waitTimeMs } from "../wait-time.ts";
import { conditionFromFilter } from "./compile-filter.ts";
import { operationFromInfo } from "./operation-message.ts";
import { checkCollection, idFromName, nameFromId } from "./operation-name.ts";

/** What those read who wonder why an operation was cancelled; the request has no reason. */
const cancelReason = "cancelled through google.longrunning";

/**
 * The RPCs of google.longrunning.Operations on top of the registry: the same operations as longhaul.v1 has, under the
 * names "operations/{operation_id}".
 *
 * ListOperations takes AIP-160 filters. It lists operations whose host or owner could not be asked as they were last
 * seen; with return_partial_success it leaves them out and names them in `unreachable` instead.
 */
export function createLongrunningHandlers(operationsFor: OperationsFor): ServiceImpl<typeof Operations> {
  const viewOf = ({ values }: HandlerContext): OperationsView => operationsFor(values.get(callerKey).access);
  return {
    async getOperation({ name }, context) {
      return operationFromInfo(await viewOf(context).getOperation(idFromName(name)));
    },
    async listOperations({ name, filter, pageSize, pageToken, returnPartialSuccess }, context) {
      checkCollection(name);
      const size = clampCount(pageSize, "page_size", 50, 1_000);
      const condition = conditionFromFilter(filter);
      const page = await viewOf(context).listOperations(create(OperationFilterSchema), size, pageToken, condition);
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
        timeoutMs: waitTimeMs(timeout, context),
        signal: context.signal,
      });
      return operationFromInfo(info);
    },
  };
}
