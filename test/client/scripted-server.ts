import { once } from "node:events";
import { createServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import type { ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";

/** A gRPC server that answers as the test says. */
export interface ScriptedServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Cuts every connection at once, as a killed process does, and stops listening. */
  kill(): Promise<void>;
}

/** Starts one; methods that are left out answer UNIMPLEMENTED. */
export async function startScriptedServer(
  service: Partial<ServiceImpl<typeof OperationsService>>,
  port = 0,
): Promise<ScriptedServer> {
  const server = createServer(connectNodeAdapter({ routes: (router) => router.service(OperationsService, service) }));
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", () => undefined);
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const address = server.address() as AddressInfo;
  const kill = async () => {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    for (const session of sessions) session.destroy();
    await closed;
  };
  return { url: `http://127.0.0.1:${address.port}`, port: address.port, kill, [Symbol.asyncDispose]: kill };
}
