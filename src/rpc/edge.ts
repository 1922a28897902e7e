import { createRegistry, type DescFile } from "@bufbuild/protobuf";
import { file_google_protobuf_struct, file_google_protobuf_wrappers } from "@bufbuild/protobuf/wkt";
import type { Interceptor } from "@connectrpc/connect";
import type { Logger } from "pino";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { file_longhaul_v1_metrics } from "../../gen/longhaul/v1/metrics_pb.ts";
import { file_longhaul_v1_operation } from "../../gen/longhaul/v1/operation_pb.ts";
import { OperationsService as OperationsServiceDesc } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { OperationsService } from "../operations/operations-service.ts";
import { createEdgeInterceptor } from "./edge-interceptor.ts";
import type { HealthState } from "./health-state.ts";
import type { RequestHandler } from "./listener.ts";
import { createNodeAdapter } from "./node-adapter.ts";
import { createOperationsHandlers } from "./operations-handlers.ts";
import { addStandardServices } from "./standard-services.ts";
import { createValidationInterceptor } from "./validation-interceptor.ts";

/** What the edge is made of. */
export interface EdgeParts {
  readonly operations: OperationsService;
  /** This server's name in the way a call has come. */
  readonly serverId: string;
  readonly health: HealthState;
  /** Aborts when streams have to end. */
  readonly stopping: AbortSignal;
  readonly log: Logger;
  readonly options: EdgeOptions;
}

/** The settings of the edge. */
export interface EdgeOptions {
  readonly cacheTtlMs: number;
  /** Servers a call may have passed. */
  readonly maxHops: number;
  /** Largest message in either direction, unpacked. */
  readonly maxMessageBytes: number;
  /** Whether server reflection is served. */
  readonly reflection: boolean;
}

/** Types that travel in a google.protobuf.Any and so must be known for JSON. */
const anyTypeFiles: readonly DescFile[] = [
  file_google_rpc_error_details,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
  file_longhaul_v1_metrics,
  file_longhaul_v1_operation,
];
const anyTypes = createRegistry(...anyTypeFiles);

/** Answers every call that reaches the port: which services there are, and what each call goes through. */
export function createEdge({ operations, serverId, health, stopping, log, options }: EdgeParts): RequestHandler {
  /** The first one is the outermost. */
  const interceptors: Interceptor[] = [
    createEdgeInterceptor(serverId, options.maxHops, log),
    createValidationInterceptor([OperationsServiceDesc]),
  ];
  return createNodeAdapter({
    log,
    routes: (router) => {
      router.service(OperationsServiceDesc, createOperationsHandlers(operations, options.cacheTtlMs));
      addStandardServices(router, { health, stopping, reflectedTypes: options.reflection ? anyTypeFiles : undefined });
    },
    interceptors,
    readMaxBytes: options.maxMessageBytes,
    writeMaxBytes: options.maxMessageBytes,
    // An unknown field is a misspelt one: a filter without its condition would match everything.
    jsonOptions: { registry: anyTypes, ignoreUnknownFields: false },
  });
}
