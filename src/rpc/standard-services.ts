import type { DescFile } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { ServerReflection as ServerReflectionV1 } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionV1Alpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { Health } from "../../gen/health/v1/health_pb.ts";
import { createDescriptorIndex } from "./descriptor-index.ts";
import { createHealthHandlers } from "./health-handlers.ts";
import type { HealthState } from "./health-state.ts";
import { OpenStreams } from "./open-streams.ts";
import { createReflectionHandlers } from "./reflection-handlers.ts";

/** What the standard services tell of. */
export interface StandardServicesOptions {
  readonly health: HealthState;
  /** Aborts when streams have to end. */
  readonly stopping: AbortSignal;
  /** Files that reflection knows beside those of the services; undefined for no reflection. */
  readonly reflectedTypes: readonly DescFile[] | undefined;
}

/** Streams of health watches and of reflection that may be open at a time. */
const maximumStreams = 1_000;

/**
 * Adds health checks and reflection to a router. They tell of all its services, also of those that are added later, but
 * before the first call.
 */
export function addStandardServices(
  router: ConnectRouter,
  { health, stopping, reflectedTypes }: StandardServicesOptions,
): void {
  const streams = new OpenStreams(stopping, maximumStreams);
  const services = lazily(() => new Set(router.handlers.map(({ service }) => service)));
  const serviceNames = lazily(() => new Set([...services()].map(({ typeName }) => typeName)));
  router.service(Health, createHealthHandlers(health, streams, serviceNames));
  if (reflectedTypes) {
    const reflected = lazily(() => ({
      serviceNames: serviceNames(),
      index: createDescriptorIndex([...[...services()].map(({ file }) => file), ...reflectedTypes]),
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
