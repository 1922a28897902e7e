import { createRegistry, type DescFile } from "@bufbuild/protobuf";
import {
  file_google_protobuf_empty,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";
import { Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { file_longhaul_v1_metrics } from "../../gen/longhaul/v1/metrics_pb.ts";
import { file_longhaul_v1_operation } from "../../gen/longhaul/v1/operation_pb.ts";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { OperationsFor } from "../access/operations-for.ts";
import type { ServedService } from "./fast-lane/fast-methods.ts";
import type { HealthState } from "./health-state.ts";
import { createLongrunningHandlers } from "./longrunning/longrunning-handlers.ts";
import { createOperationsHandlers } from "./operations-handlers.ts";
import { createRegistryView } from "./registry-view.ts";
import { addStandardServices } from "./standard-services.ts";

/** What the standard services are made of. */
export interface RoutesParts {
  readonly health: HealthState;
  /** Aborts when streams have to end. */
  readonly stopping: AbortSignal;
  /** Whether server reflection is served. */
  readonly reflection: boolean;
}

const anyTypeFiles: readonly DescFile[] = [
  file_google_rpc_error_details,
  file_google_protobuf_empty,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
  file_longhaul_v1_metrics,
  file_longhaul_v1_operation,
];

/** Types that travel in a google.protobuf.Any and so must be known for JSON. */
export const anyTypes = createRegistry(...anyTypeFiles);

/**
 * The services that are this server's own: the registry as a caller may see it, in its two protocols. Their handlers get
 * it no other way.
 */
export function createOwnServices(operationsFor: OperationsFor): readonly ServedService[] {
  const viewOf = createRegistryView(operationsFor);
  return [
    { service: OperationsService, implementation: createOperationsHandlers(viewOf) },
    { service: Operations, implementation: createLongrunningHandlers(viewOf) },
  ];
}

/** Routes for all services of the port: the own ones and the standard ones beside them. */
export function createRoutes(
  ownServices: readonly ServedService[],
  parts: RoutesParts,
): (router: ConnectRouter) => void {
  return (router) => {
    for (const { service, implementation } of ownServices) {
      router.service(service, implementation);
    }
    addStandardServices(router, { ...parts, reflectedTypes: parts.reflection ? anyTypeFiles : undefined });
  };
}
