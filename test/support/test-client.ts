import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { onTestFinished } from "vitest";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { createGrpcJsTransport, type GrpcTransportOptions } from "../../src/client/grpc-transport.ts";

/** A typed client of the service. */
export type OperationsClient = Client<typeof OperationsService>;

/** How a test's client differs from one without any credential. */
export interface TestClientOptions extends Omit<GrpcTransportOptions, "baseUrl" | "interceptors"> {
  /** A bearer token for every call. */
  readonly token?: string;
  /** Headers of every call. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A gRPC client of the server at a URL; closed when the running test ends. */
export function connectTestClient(url: string, options: TestClientOptions = {}): OperationsClient {
  return createClient(OperationsService, connectTestTransport(url, options));
}

/** The same for clients of other services. */
export function connectTestTransport(url: string, options: TestClientOptions = {}): Transport {
  const { token, headers = {}, ...rest } = options;
  const all = { ...headers, ...(token !== undefined && { authorization: `Bearer ${token}` }) };
  const transport = createGrpcJsTransport({
    ...rest,
    baseUrl: url,
    interceptors: [
      (next) => (request) => {
        for (const [name, value] of Object.entries(all)) request.header.set(name, value);
        return next(request);
      },
    ],
  });
  onTestFinished(() => transport.close());
  return transport;
}
