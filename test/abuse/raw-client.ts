import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { clientBegins, createFrameReader, type ReceivedFrame } from "./http2-frames.ts";

/** A connection that sends what it is told, and tells what it gets. */
export interface RawClient {
  readonly socket: Socket;
  /** Resolves when the server, or this side, has ended the connection. */
  readonly closed: Promise<unknown>;
  /** Writes, and resolves when the bytes are on their way or the connection has ended. */
  send(bytes: Uint8Array | string): Promise<void>;
}

/** Connects; with `ca` over TLS, for which `protocol` is what ALPN asks for. */
export async function rawClient(
  port: number,
  { ca, protocol = "h2" }: { readonly ca?: string | undefined; readonly protocol?: "h2" | "http/1.1" } = {},
): Promise<RawClient> {
  const address = { port, host: "127.0.0.1" };
  const socket = ca === undefined ? connectTcp(address) : connectTls({ ...address, ca, ALPNProtocols: [protocol] });
  socket.on("error", () => {});
  const closed = new Promise((resolve) => socket.once("close", resolve));
  const connected = new Promise((resolve) => socket.once(ca === undefined ? "connect" : "secureConnect", resolve));
  await Promise.race([connected, closed]);
  const send = async (bytes: Uint8Array | string) => {
    if (!socket.destroyed && !socket.write(bytes)) {
      await Promise.race([new Promise((resolve) => socket.once("drain", resolve)), closed]);
    }
  };
  return { socket, closed, send };
}

/** Connects and begins with HTTP/2. Every frame that comes is passed on. */
export async function rawHttp2Client(
  port: number,
  onFrame: (frame: ReceivedFrame) => void = () => {},
  ca?: string,
): Promise<RawClient> {
  const client = await rawClient(port, { ca });
  const read = createFrameReader();
  client.socket.on("data", (bytes) => read(bytes).forEach(onFrame));
  await client.send(clientBegins);
  return client;
}
