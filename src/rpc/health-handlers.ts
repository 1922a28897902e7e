import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  Health,
  type HealthCheckRequest,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus,
  HealthCheckResponseSchema,
} from "../../gen/health/v1/health_pb.ts";
import { CallError } from "../operations/errors.ts";
import type { HealthState } from "./health-state.ts";
import type { OpenStreams } from "./open-streams.ts";

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = HealthCheckResponse_ServingStatus;

/**
 * The RPCs of grpc.health.v1.Health: "" is the whole server, and every service has a status of its own. That of Health
 * itself is SERVING for as long as the process answers, whatever becomes of the store: it is for liveness probes, which
 * must not end a server that waits for its database.
 *
 * `serviceNames` are those of all services on the port, asked with each call.
 */
export function createHealthHandlers(
  state: HealthState,
  streams: OpenStreams,
  serviceNames: () => ReadonlySet<string>,
): ServiceImpl<typeof Health> {
  const statusOf = (service: string): HealthCheckResponse_ServingStatus => {
    if (service !== "" && !serviceNames().has(service)) {
      return SERVICE_UNKNOWN;
    }
    return state.isServing || service === Health.typeName ? SERVING : NOT_SERVING;
  };
  async function* statuses(service: string, ended: AbortSignal): AsyncGenerator<HealthCheckResponse> {
    let told: HealthCheckResponse_ServingStatus | undefined;
    while (!ended.aborted) {
      // Listening begins before looking, so that no change is missed.
      const changed = Promise.withResolvers<void>();
      const wake = () => changed.resolve();
      const unsubscribe = state.onChange(wake);
      ended.addEventListener("abort", wake);
      try {
        const status = statusOf(service);
        if (status === told) {
          await changed.promise;
        } else {
          told = status;
          yield create(HealthCheckResponseSchema, { status });
        }
      } finally {
        unsubscribe();
        ended.removeEventListener("abort", wake);
      }
    }
  }
  return {
    check({ service }) {
      const status = statusOf(service);
      if (status === SERVICE_UNKNOWN) {
        const serviceName = service.slice(0, 200);
        throw new CallError("SERVICE_NOT_FOUND", `there is no service ${JSON.stringify(serviceName)}`, { serviceName });
      }
      return { status };
    },
    watch({ service }: HealthCheckRequest, context: HandlerContext) {
      return streams.hold(context, (ended) => statuses(service, ended));
    },
    list() {
      return {
        statuses: Object.fromEntries(["", ...serviceNames()].map((name) => [name, { status: statusOf(name) }])),
      };
    },
  };
}
