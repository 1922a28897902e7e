import {
  type ClientUnaryCall,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceClientConstructor,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { onTestFinished } from "vitest";
import { protoDirectories } from "./proto-directories.ts";

/** A client made from the protos alone, with nothing but the retries and the load balancing that gRPC itself has. */
export interface RetryingClient {
  /**
   * Calls a method by its name in the protocol. Rejects with a ServiceError; with a CutShort, when a part of the answer
   * had come already: what has been answered in part is never retried by gRPC (gRFC A6).
   */
  // biome-ignore lint/suspicious/noExplicitAny: messages as the proto loader makes them.
  call(method: string, request: object): Promise<any>;
}

/** The server died in the middle of an answer. */
export class CutShort extends Error {
  override readonly name = "CutShort";

  constructor(options: ErrorOptions) {
    super("the server died in the middle of an answer", options);
  }
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
      const unary = client[method] as (...args: unknown[]) => ClientUnaryCall;
      return new Promise((resolve, reject) => {
        let hasBegun = false;
        const options = { deadline: Date.now() + deadlineMs };
        const done = (error: ServiceError | null, answer?: unknown) => {
          if (error) {
            reject(hasBegun && error.code === status.UNAVAILABLE ? new CutShort({ cause: error }) : error);
          } else {
            resolve(answer);
          }
        };
        unary.call(client, request, new Metadata(), options, done).on("metadata", () => {
          hasBegun = true;
        });
      });
    },
  };
}
