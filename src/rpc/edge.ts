import { createRegistry } from "@bufbuild/protobuf";
import { file_google_protobuf_struct, file_google_protobuf_wrappers } from "@bufbuild/protobuf/wkt";
import { type ConnectRouter, createContextValues, type Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { Logger } from "pino";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { file_longhaul_v1_metrics } from "../../gen/longhaul/v1/metrics_pb.ts";
import { file_longhaul_v1_operation } from "../../gen/longhaul/v1/operation_pb.ts";
import { OperationsService as OperationsServiceDesc } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { AccessControl } from "../access/access-control.ts";
import { createOperationsFor, type OperationsFor } from "../access/operations-for.ts";
import { peerOf } from "../listener/peer.ts";
import type { RequestHandler } from "../listener/request-handler.ts";
import type { OperationsService } from "../operations/operations-service.ts";
import { createAccessInterceptor } from "./access-interceptor.ts";
import { createEdgeInterceptor } from "./edge-interceptor.ts";
import { createOperationsHandlers } from "./operations-handlers.ts";
import { peerKey } from "./peer-key.ts";

/** What the edge is made of. */
export interface EdgeParts {
  readonly operations: OperationsService;
  /** Who may do what. Undefined: everybody may do everything. */
  readonly accessControl: AccessControl | undefined;
  /** This server's name in the way a call has come. */
  readonly serverId: string;
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
}

/** Types that travel in a google.protobuf.Any and so must be known for JSON. */
const anyTypes = createRegistry(
  file_google_rpc_error_details,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
  file_longhaul_v1_metrics,
  file_longhaul_v1_operation,
);

/** Answers every call that reaches the port: which services there are, and what each call goes through. */
export function createEdge({ operations, accessControl, serverId, log, options }: EdgeParts): RequestHandler {
  /** The first one is the outermost. */
  const interceptors: Interceptor[] = [
    createEdgeInterceptor(serverId, options.maxHops, log),
    ...(accessControl ? [createAccessInterceptor(accessControl)] : []),
  ];
  return connectNodeAdapter({
    routes: createRoutes(createOperationsFor(operations, accessControl !== undefined), options),
    interceptors,
    contextValues: (request) => createContextValues().set(peerKey, peerOf(request)),
    readMaxBytes: options.maxMessageBytes,
    writeMaxBytes: options.maxMessageBytes,
    // An unknown field is a misspelt one: a filter without its condition would match everything.
    jsonOptions: { registry: anyTypes, ignoreUnknownFields: false },
  });
}

/** The services of the port. Handlers get the registry only as the caller may see it. */
export function createRoutes(operationsFor: OperationsFor, options: EdgeOptions): (router: ConnectRouter) => void {
  return (router) => {
    router.service(OperationsServiceDesc, createOperationsHandlers(operationsFor, options.cacheTtlMs));
  };
}
