import { type CallOptions, ConnectError, createClient } from "@connectrpc/connect";
import { expect, onTestFinished } from "vitest";
import { OperationsService } from "../../../gen/longhaul/v1/operations_service_pb.ts";
import { type FastLaneOptions, withFastLane } from "../../../src/client/fast-lane/fast-lane.ts";
import { createGrpcJsTransport } from "../../../src/client/grpc-transport.ts";
import { type RawHost, type Script, startRawHost, type Way } from "./raw-host.ts";

/** How a call ended, as far as callers can tell. */
export type Ending = { readonly operationId: string | undefined } | { readonly code: number; readonly details: object };

/** How a call of a host ends that answers well. */
export const good = { operationId: "op_1" };

/** A client of GetOperation. */
export interface Caller {
  get(options?: CallOptions): Promise<Ending & { readonly message?: string }>;
  close(): void;
}

/** A client of a host; by the fast lane once a call has gone that way. */
export async function callerOf(host: RawHost, way: Way, options: Partial<FastLaneOptions> = {}): Promise<Caller> {
  const target = {
    baseUrl: host.url,
    ...(options.baseUrl && { baseUrl: options.baseUrl }),
    ...(options.credentials && { credentials: options.credentials }),
  };
  const plain = createGrpcJsTransport({ ...target, initialReconnectBackoffMs: 20, maxReconnectBackoffMs: 100 });
  const methods = [OperationsService.method.getOperation];
  const transport = way === "grpc-js" ? plain : withFastLane(plain, { methods, ...options, ...target });
  onTestFinished(() => transport.close());
  const client = createClient(OperationsService, transport);
  const caller: Caller = {
    get: async (callOptions) => {
      try {
        const { operation } = await client.getOperation({ operationId: "op_1" }, { timeoutMs: 5_000, ...callOptions });
        return { operationId: operation?.operationId };
      } catch (error) {
        const { code, details, rawMessage } = ConnectError.from(error);
        return { code, details, message: rawMessage };
      }
    },
    close: () => transport.close(),
  };
  await expect
    .poll(async () => {
      await caller.get();
      return host.arrived.at(-1)?.way;
    })
    .toBe(way);
  return caller;
}

/** Makes the same call by both ways, each at a host of its own that does what the script says. */
export async function byBothWays(script: Script, options?: () => CallOptions) {
  const one = async (way: Way) => {
    const host = await startRawHost();
    const caller = await callerOf(host, way);
    host.play(script);
    const ending = await caller.get(options?.());
    return { ending, ways: host.arrived.map((call) => call.way) };
  };
  const [grpcJs, fastLane] = [await one("grpc-js"), await one("fast lane")];
  return { grpcJs: grpcJs.ending, fastLane: fastLane.ending, ways: fastLane.ways };
}
