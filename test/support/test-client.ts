import { type Client, createClient } from "@connectrpc/connect";
import { onTestFinished } from "vitest";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { createGrpcJsTransport } from "../../src/client/grpc-transport.ts";

/** A typed client of the service. */
export type OperationsClient = Client<typeof OperationsService>;

/** A gRPC client of the server at a URL; closed when the running test ends. */
export function connectTestClient(url: string): OperationsClient {
  const transport = createGrpcJsTransport({ baseUrl: url });
  onTestFinished(() => transport.close());
  return createClient(OperationsService, transport);
}
