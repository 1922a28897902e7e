import { once } from "node:events";
import {
  createSecureServer,
  createServer,
  type IncomingHttpHeaders,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { onTestFinished } from "vitest";
import { GetOperationResponseSchema } from "../../../gen/longhaul/v1/operations_service_pb.ts";

/** What a host does with a call. */
export type Script = (stream: ServerHttp2Stream, call: ArrivedCall) => void;

/** A call as it has arrived. */
export interface ArrivedCall {
  readonly headers: IncomingHttpHeaders;
  readonly way: Way;
  /** How many have come since the script was given, this one included. */
  readonly nth: number;
}

/** By which client a call was made. */
export type Way = "grpc-js" | "fast lane";

/** A host that does with its HTTP/2 streams what a test wants. */
export interface RawHost {
  readonly url: string;
  readonly port: number;
  /** How many connections are open. */
  readonly connections: number;
  /** Calls since the script was given. */
  readonly arrived: readonly ArrivedCall[];
  /** What becomes of the calls from now on. At first all are answered well. */
  play(script: Script): void;
  /** Cuts every connection at once, as a killed process does, and stops listening. */
  kill(): Promise<void>;
}

/** The message of a good answer, "op_1". */
export const goodMessage = toBinary(
  GetOperationResponseSchema,
  create(GetOperationResponseSchema, { operation: { operationId: "op_1", revision: 7n } }),
);
export const goodFrame = frame(goodMessage);

/** A message as gRPC sends it. `length` is what its prefix says. */
export function frame(message: Uint8Array, flag = 0, length = message.length): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, message]);
}

/** Answers with chunks of a body and with trailers; by default as gRPC does when all is well. */
export function answer(
  stream: ServerHttp2Stream,
  body: Uint8Array | readonly Uint8Array[] = goodFrame,
  trailers: Record<string, string> = { "grpc-status": "0" },
  headers: Record<string, string | number> = {},
): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc", ...headers }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  void (async () => {
    for (const chunk of body instanceof Uint8Array ? [body] : body) {
      await new Promise<unknown>((written) => stream.write(chunk, written));
    }
    stream.end();
  })();
}

/** Starts a host; it stops when the running test ends. */
export async function startRawHost(tls?: SecureServerOptions): Promise<RawHost> {
  const server = tls ? createSecureServer(tls) : createServer();
  const sessions = new Set<ServerHttp2Session>();
  let script: Script = (stream) => answer(stream);
  let arrived: ArrivedCall[] = [];
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", () => {});
  });
  server.on("stream", (stream, headers) => {
    const way: Way = headers["user-agent"]?.startsWith("grpc-node-js") ? "grpc-js" : "fast lane";
    const call = { headers, way, nth: arrived.length + 1 };
    arrived.push(call);
    stream.on("error", () => {});
    stream.resume();
    script(stream, call);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const kill = async () => {
    if (server.listening) {
      const closed = once(server, "close");
      server.close();
      for (const session of sessions) {
        session.destroy();
      }
      await closed;
    }
  };
  onTestFinished(kill);
  return {
    url: tls ? `https://localhost:${port}` : `http://127.0.0.1:${port}`,
    port,
    kill,
    get connections() {
      return sessions.size;
    },
    get arrived() {
      return arrived;
    },
    play: (next) => {
      script = next;
      arrived = [];
    },
  };
}
