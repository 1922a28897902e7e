import { once } from "node:events";
import * as http from "node:http";
import * as http2 from "node:http2";
import * as https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { type Connections, createConnections } from "./connections.ts";
import type { ListenerTls } from "./listener-tls.ts";
import { peek } from "./peek.ts";
import type { RequestHandler } from "./request-handler.ts";
import type { TlsCredentials } from "./tls-files.ts";

/** Where and within which limits to listen. */
export interface ListenerOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Calls that one HTTP/2 connection may have open. */
  readonly maxConcurrentStreams: number;
  /** Default: plaintext. */
  readonly tls?: ListenerTls;
}

/** A listening port. */
export interface Listener {
  readonly port: number;
  /** Whether it speaks TLS. */
  readonly isSecure: boolean;
  /** Takes no more connections, ends idle ones, and cuts off what is still open after `graceMs`. Safe to repeat. */
  close(graceMs: number): Promise<void>;
}

const maximumHeaderBytes = 16 * 1024;
/** How long a client may take for its handshake, its request's headers, and for a whole request, in milliseconds. */
const headersTimeoutMs = 10_000;
const requestTimeoutMs = 30_000;
/** How long an HTTP/2 connection may be silent; a client that polls keeps it open. */
const idleTimeoutMs = 5 * 60_000;
/** Time between two looks for idle HTTP/1.1 connections while closing, in milliseconds. */
const idleCheckMs = 50;

const http1Options = {
  maxHeaderSize: maximumHeaderBytes,
  headersTimeout: headersTimeoutMs,
  requestTimeout: requestTimeoutMs,
};

/**
 * Listens on one port for HTTP/1.1 and HTTP/2: with TLS, where ALPN decides, or without, where an HTTP/2 client is one
 * that begins with the HTTP/2 preface.
 *
 * The HTTP/1.1 server does the listening, because only then does Node.js apply its timeouts; connections of HTTP/2 are
 * handed on. Rejects with an Error that names the address when it cannot be had.
 */
export async function listen(handler: RequestHandler, options: ListenerOptions): Promise<Listener> {
  const connections = createConnections();
  const http2Server = http2.createServer(
    {
      settings: { maxConcurrentStreams: options.maxConcurrentStreams, maxHeaderListSize: maximumHeaderBytes },
      unknownProtocolTimeout: headersTimeoutMs,
    },
    handler,
  );
  http2Server.on("session", (session) => {
    connections.addSession(session);
    session.setTimeout(idleTimeoutMs, () => session.close());
    // The session ends by itself; without a listener the error would end the process.
    session.on("error", () => {});
  });
  const server = options.tls
    ? createTlsServer(options.tls, handler, http2Server, connections)
    : createPlainServer(handler, http2Server, connections);
  await bind(server, options);
  const { port } = server.address() as AddressInfo;
  return {
    port,
    isSecure: options.tls !== undefined,
    close: async (graceMs) => {
      options.tls?.files.stop();
      await close(server, connections, graceMs);
    },
  };
}

/** An HTTP/1.1 server that gives the connections of HTTP/2 clients to the other one. */
function createPlainServer(
  handler: RequestHandler,
  http2Server: http2.Http2Server,
  connections: Connections,
): http.Server {
  const server = http.createServer(http1Options, handler);
  const serveHttp1 = takeOver<Socket>(server, "connection");
  server.on("connection", (socket: Socket) => {
    connections.add(socket);
    // Answers are small and awaited; with Nagle's algorithm they would wait for the peer's delayed ACK.
    socket.setNoDelay(true);
    peek(socket, headersTimeoutMs, (isHttp2) => {
      connections.decided(socket);
      if (isHttp2) {
        http2Server.emit("connection", socket);
      } else {
        serveHttp1(socket);
      }
    });
  });
  return server;
}

/** The same over TLS. A connection that does not begin with a TLS handshake, or does not end it in time, is closed. */
function createTlsServer(
  { files, clientAuth }: ListenerTls,
  handler: RequestHandler,
  http2Server: http2.Http2Server,
  connections: Connections,
): https.Server {
  const contextOf = ({ cert, key, ca }: TlsCredentials) => ({
    cert,
    key,
    ...(ca && { ca }),
    minVersion: "TLSv1.2" as const,
  });
  const server = https.createServer(
    {
      ...http1Options,
      ...contextOf(files.credentials),
      ALPNProtocols: ["h2", "http/1.1"],
      handshakeTimeout: headersTimeoutMs,
      requestCert: clientAuth !== "none",
      rejectUnauthorized: clientAuth === "required",
    },
    handler,
  );
  // Before TLS begins with it.
  server.prependListener("connection", (socket: Socket) => connections.add(socket));
  const serveHttp1 = takeOver<TLSSocket>(server, "secureConnection");
  server.on("secureConnection", (socket: TLSSocket) => {
    // What is optional is whether there is a certificate, not whether it is a good one.
    if (clientAuth === "optional" && !socket.authorized && socket.getPeerX509Certificate()) {
      socket.destroy();
      return;
    }
    peek(socket, headersTimeoutMs, () => {
      connections.decided(socket);
      if (socket.alpnProtocol === "h2") {
        http2Server.emit("connection", socket);
      } else {
        serveHttp1(socket);
      }
    });
  });
  // New connections use the new credentials; sessions that were begun with the old ones cannot be resumed.
  files.follow((credentials) => server.setSecureContext(contextOf(credentials)));
  return server;
}

/** Takes a server's own listeners of an event away and answers what calls them. */
function takeOver<S>(server: http.Server, event: string): (socket: S) => void {
  const listeners = server.listeners(event) as ((socket: S) => void)[];
  server.removeAllListeners(event);
  return (socket) => {
    for (const listener of listeners) {
      listener.call(server, socket);
    }
  };
}

async function bind(server: http.Server, { host, port }: ListenerOptions): Promise<void> {
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === "EADDRINUSE" ? "the port is in use" : code === "EACCES" ? "not permitted" : message;
    throw new Error(`cannot listen on ${host}:${port}: ${why}`, { cause: error });
  }
}

async function close(server: http.Server, connections: Connections, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  // A keep-alive connection whose last call ends meanwhile is idle then, and nobody else would end it.
  const idleCheck = setInterval(() => server.closeIdleConnections(), idleCheckMs);
  for (const session of connections.sessions) {
    session.close();
  }
  connections.destroyUndecided();
  const cutOff = setTimeout(() => connections.destroyAll(), graceMs);
  await closed;
  clearInterval(idleCheck);
  clearTimeout(cutOff);
}
