import { promisify } from "node:util";
import {
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceClientConstructor,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { onTestFinished } from "vitest";
import { protoDirectories } from "./proto-directories.ts";

/** A client made from the protos alone, with nothing but the retries and the load balancing that gRPC itself has. */
export interface RetryingClient {
  /** Calls a method by its name in the protocol. Rejects with a ServiceError. */
  // biome-ignore lint/suspicious/noExplicitAny: messages as the proto loader makes them.
  call(method: string, request: object): Promise<any>;
}

/** How long one call may take with all its attempts, in milliseconds. */
const deadlineMs = 20_000;

/** The retry policy that the gRPC documentation shows, with round robin over all servers. */
const serviceConfig = {
  loadBalancingConfig: [{ round_robin: {} }],
  methodConfig: [
    {
      name: [{}],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: "0.1s",
        maxBackoff: "2s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
};

/** Connects with several servers; closed when the running test ends. */
export function connectRetryingClient(ports: readonly number[]): RetryingClient {
  const definition = loadSync("longhaul/v1/operations_service.proto", {
    includeDirs: protoDirectories,
    keepCase: true,
    longs: Number,
    enums: String,
    defaults: true,
  });
  const { longhaul } = loadPackageDefinition(definition) as unknown as {
    longhaul: { v1: { OperationsService: ServiceClientConstructor } };
  };
  const target = `ipv4:${ports.map((port) => `127.0.0.1:${port}`).join(",")}`;
  const client = new longhaul.v1.OperationsService(target, credentials.createInsecure(), {
    "grpc.service_config": JSON.stringify(serviceConfig),
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
  });
  onTestFinished(() => client.close());
  return {
    call: (method, request) => {
      const unary = client[method] as (...args: unknown[]) => void;
      const run = promisify((done: (error: ServiceError | null, answer?: unknown) => void) => {
        unary.call(client, request, new Metadata(), { deadline: Date.now() + deadlineMs }, done);
      });
      return run();
    },
  };
}
