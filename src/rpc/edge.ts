import { createRegistry } from "@bufbuild/protobuf";
import { file_google_protobuf_struct, file_google_protobuf_wrappers } from "@bufbuild/protobuf/wkt";
import { createContextValues, type Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { Logger } from "pino";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { file_longhaul_v1_metrics } from "../../gen/longhaul/v1/metrics_pb.ts";
import { file_longhaul_v1_operation } from "../../gen/longhaul/v1/operation_pb.ts";
import { OperationsService as OperationsServiceDesc } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { peerOf } from "../listener/peer.ts";
import type { RequestHandler } from "../listener/request-handler.ts";
import type { OperationsService } from "../operations/operations-service.ts";
import { createEdgeInterceptor } from "./edge-interceptor.ts";
import { withoutLongTimeouts } from "./long-timeouts.ts";
import { createOperationsHandlers } from "./operations-handlers.ts";
import { peerKey } from "./peer-key.ts";
import { createRateLimitInterceptor } from "./rate-limit-interceptor.ts";
import { withTrailersOnly } from "./trailers-only.ts";

/** What the edge is made of. */
export interface EdgeParts {
  readonly operations: OperationsService;
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
  /** Calls one caller may make each second, and at once. 0 a second is no limit. */
  readonly rateLimitPerSecond: number;
  readonly rateLimitBurst: number;
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
export function createEdge({ operations, serverId, log, options }: EdgeParts): RequestHandler {
  /** The first one is the outermost. */
  const interceptors: Interceptor[] = [createEdgeInterceptor(serverId, options.maxHops, log)];
  if (options.rateLimitPerSecond > 0) {
    interceptors.push(
      createRateLimitInterceptor({ perSecond: options.rateLimitPerSecond, burst: options.rateLimitBurst }),
    );
  }
  const handler = connectNodeAdapter({
    routes: (router) => {
      router.service(OperationsServiceDesc, createOperationsHandlers(operations, options.cacheTtlMs));
    },
    interceptors,
    contextValues: (request) => createContextValues().set(peerKey, peerOf(request)),
    readMaxBytes: options.maxMessageBytes,
    writeMaxBytes: options.maxMessageBytes,
    // An unknown field is a misspelt one: a filter without its condition would match everything.
    jsonOptions: { registry: anyTypes, ignoreUnknownFields: false },
  });
  return withoutLongTimeouts(withTrailersOnly(handler));
}
