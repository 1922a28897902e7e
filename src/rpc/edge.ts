import type { Interceptor } from "@connectrpc/connect";
import type { Logger } from "pino";
import { OperationsService as OperationsServiceDesc } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { AccessControl } from "../access/access-control.ts";
import { createOperationsFor } from "../access/operations-for.ts";
import { type Peer, peerOf } from "../listener/peer.ts";
import type { OperationsService } from "../operations/operations-service.ts";
import { createAccessInterceptor } from "./access-interceptor.ts";
import type { CallRecorder } from "./call-recorder.ts";
import { CallValues } from "./call-values.ts";
import { createEdgeInterceptor } from "./edge-interceptor.ts";
import type { PortHandlers } from "./entrance.ts";
import { createFastLane } from "./fast-lane/fast-lane.ts";
import type { HealthState } from "./health-state.ts";
import { acceptCompression, createNodeAdapter } from "./node-adapter.ts";
import { peerKey } from "./peer-key.ts";
import { createRateLimitInterceptor } from "./rate-limit-interceptor.ts";
import { anyTypes, createOwnServices, createRoutes } from "./routes.ts";
import { createSightInterceptor } from "./sight-interceptor.ts";
import { createValidationInterceptor } from "./validation-interceptor.ts";

/** What the edge is made of. */
export interface EdgeParts {
  readonly operations: OperationsService;
  /** Who may do what. Undefined: everybody may do everything. */
  readonly accessControl: AccessControl | undefined;
  /** This server's name in the way a call has come. */
  readonly serverId: string;
  readonly health: HealthState;
  /** Aborts when streams have to end. */
  readonly stopping: AbortSignal;
  readonly log: Logger;
  /** Writes down every call. */
  readonly recorder: CallRecorder;
  readonly options: EdgeOptions;
}

/** The settings of the edge. */
export interface EdgeOptions {
  /** Servers a call may have passed. */
  readonly maxHops: number;
  /** Largest message in either direction, unpacked. */
  readonly maxMessageBytes: number;
  /** Calls one caller may make each second, and at once. 0 a second is no limit. */
  readonly rateLimitPerSecond: number;
  readonly rateLimitBurst: number;
  /** Whether server reflection is served. */
  readonly reflection: boolean;
  /** Whether unary calls of the own services, by gRPC and by POST in Connect, take the fast lane. */
  readonly fastLane: boolean;
}

/** What every call goes through; the first one is the outermost. */
export function createEdgeInterceptors({
  accessControl,
  serverId,
  log,
  recorder,
  options,
}: Pick<EdgeParts, "accessControl" | "serverId" | "log" | "recorder" | "options">): Interceptor[] {
  const { maxHops, rateLimitPerSecond: perSecond, rateLimitBurst: burst } = options;
  return [
    createSightInterceptor(recorder),
    createEdgeInterceptor(serverId, maxHops, log),
    ...(accessControl ? [createAccessInterceptor(accessControl)] : []),
    ...(perSecond > 0 ? [createRateLimitInterceptor({ perSecond, burst })] : []),
    createValidationInterceptor([OperationsServiceDesc]),
  ];
}

/** Answers every call that reaches the port. */
export function createEdge(parts: EdgeParts): PortHandlers {
  const { operations, accessControl, log, recorder, options } = parts;
  const operationsFor = createOperationsFor(operations, accessControl !== undefined);
  const services = createOwnServices(operationsFor);
  const common = {
    log,
    onRefused: recorder.refused,
    acceptCompression,
    interceptors: createEdgeInterceptors(parts),
    readMaxBytes: options.maxMessageBytes,
    writeMaxBytes: options.maxMessageBytes,
    // An unknown field is a misspelt one: a filter without its condition would match everything.
    jsonOptions: { registry: anyTypes, ignoreUnknownFields: false },
  };
  const valuesOf = (peer: Peer) => new CallValues().set(peerKey, peer);
  const handler = createNodeAdapter({
    ...common,
    routes: createRoutes(services, { ...parts, ...options }),
    contextValues: (request) => valuesOf(peerOf(request)),
  });
  return options.fastLane ? createFastLane(handler, { ...common, services, contextValues: valuesOf }) : { handler };
}
