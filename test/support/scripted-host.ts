import { once } from "node:events";
import { createServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import type { ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { onTestFinished } from "vitest";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";

/** A host whose answers a test writes and whose calls it counts. */
export interface ScriptedHost {
  readonly url: string;
  /** How often a method was called, by its name in the protocol, or all of them together. */
  calls(method?: string): number;
}

/** Starts a gRPC server with the given methods; the others are UNIMPLEMENTED. It stops when the running test ends. */
export async function startScriptedHost(
  implementation: Partial<ServiceImpl<typeof OperationsService>>,
): Promise<ScriptedHost> {
  const called: string[] = [];
  const handler = connectNodeAdapter({
    routes: (router) => router.service(OperationsService, implementation),
    interceptors: [
      (next) => (request) => {
        called.push(request.method.name);
        return next(request);
      },
    ],
  });
  const server = createServer(handler);
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    session.on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => {
    const closed = once(server, "close");
    server.close();
    for (const session of sessions) {
      session.destroy();
    }
    await closed;
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls: (method) => called.filter((name) => method === undefined || name === method).length,
  };
}
