import { createRegistry, type DescFile } from "@bufbuild/protobuf";
import {
  file_google_protobuf_empty,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";
import { Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { ServerReflection as ServerReflectionV1 } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionV1Alpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { Health } from "../../gen/health/v1/health_pb.ts";
import { file_longhaul_v1_metrics } from "../../gen/longhaul/v1/metrics_pb.ts";
import { file_longhaul_v1_operation } from "../../gen/longhaul/v1/operation_pb.ts";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { OperationsFor } from "../access/operations-for.ts";
import { createDescriptorIndex } from "./descriptor-index.ts";
import { createHealthHandlers } from "./health-handlers.ts";
import type { HealthState } from "./health-state.ts";
import { createLongrunningHandlers } from "./longrunning/longrunning-handlers.ts";
import { OpenStreams } from "./open-streams.ts";
import { createOperationsHandlers } from "./operations-handlers.ts";
import { createReflectionHandlers } from "./reflection-handlers.ts";
import { createRegistryView } from "./registry-view.ts";

/** What the services are made of. */
export interface RoutesParts {
  /** The registry as a caller may see it; handlers get it no other way. */
  readonly operationsFor: OperationsFor;
  readonly health: HealthState;
  /** Aborts when streams have to end. */
  readonly stopping: AbortSignal;
  readonly cacheTtlMs: number;
  /** Whether server reflection is served. */
  readonly reflection: boolean;
}

/** Streams of health watches and of reflection that may be open at a time. */
const maximumStreams = 1_000;

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

/** The services of the port. */
export function createRoutes(parts: RoutesParts): (router: ConnectRouter) => void {
  const viewOf = createRegistryView(parts.operationsFor);
  return (router) => {
    router.service(OperationsService, createOperationsHandlers(viewOf, parts.cacheTtlMs));
    router.service(Operations, createLongrunningHandlers(viewOf));
    addStandardServices(router, parts);
  };
}

/** Adds what tells of the server itself. It tells of every service of the router, also of those that are added later. */
function addStandardServices(router: ConnectRouter, { health, stopping, reflection }: RoutesParts): void {
  const streams = new OpenStreams(stopping, maximumStreams);
  const services = lazily(() => new Set(router.handlers.map(({ service }) => service)));
  const serviceNames = lazily(() => new Set([...services()].map(({ typeName }) => typeName)));
  router.service(Health, createHealthHandlers(health, streams, serviceNames));
  if (reflection) {
    const reflected = lazily(() => ({
      serviceNames: serviceNames(),
      index: createDescriptorIndex([...[...services()].map(({ file }) => file), ...anyTypeFiles]),
    }));
    router.service(ServerReflectionV1, createReflectionHandlers(reflected, streams));
    router.service(ServerReflectionV1Alpha, createReflectionHandlers(reflected, streams));
  }
}

function lazily<T extends object>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
