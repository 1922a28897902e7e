import type { EventEmitter } from "node:events";
import * as http from "node:http";
import * as http2 from "node:http2";
import * as https from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Connections } from "./connections.ts";
import type { StreamTaker } from "./guarded-handler.ts";
import type { ListenerLimits } from "./listener-limits.ts";
import type { ListenerTls } from "./listener-tls.ts";
import { peek } from "./peek.ts";
import type { RequestHandler } from "./request-handler.ts";
import type { TlsCredentials } from "./tls-files.ts";

/** What the servers of a listener are made of. */
export interface ServerOptions {
  readonly handler: RequestHandler;
  /** Asked first of every HTTP/2 request. */
  readonly onStream: StreamTaker | undefined;
  readonly connections: Connections;
  readonly limits: ListenerLimits;
  readonly tls: ListenerTls | undefined;
}

/** What Node.js tells of a new HTTP/2 stream. */
type StreamEvent = [
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  flags: number,
  rawHeaders: string[],
];

/** Invalid frames, and streams beyond the limit, after which an HTTP/2 connection is ended. */
const maximumBadFrames = 100;

/**
 * Makes the server to bind: an HTTP/1.1 server that gives the connections of HTTP/2 clients to a server of that. It is
 * this way round because Node.js applies its HTTP/1.1 timeouts only to a server that listens.
 */
export function createServer(options: ServerOptions): http.Server {
  const http2Server = createHttp2Server(options);
  const server = options.tls
    ? createTlsServer(options, options.tls, http2Server)
    : createPlainServer(options, http2Server);
  server.maxConnections = options.limits.maxConnections;
  // The guard counts headers; this one leaves out what is too much and says nothing.
  server.maxHeadersCount = 0;
  return server;
}

function createHttp2Server({ handler, onStream, connections, limits }: ServerOptions): http2.Http2Server {
  const { maxConcurrentStreams, maxHeaderBytes, maxHeaders, maxStreamResets } = limits;
  const server = http2.createServer(
    {
      settings: { maxConcurrentStreams, maxHeaderListSize: maxHeaderBytes },
      maxHeaderListPairs: maxHeaders,
      maxSessionInvalidFrames: maximumBadFrames,
      maxSessionRejectedStreams: maximumBadFrames,
      streamResetBurst: maxStreamResets,
      streamResetRate: Math.ceil(maxStreamResets / 10),
    },
    handler,
  );
  if (onStream) {
    // What makes a request and a response of a stream, and calls the handler.
    const serveRequest = takeOver<StreamEvent>(server, "stream");
    server.on("stream", (...event: StreamEvent) => {
      const [stream, headers, , rawHeaders] = event;
      if (!onStream(stream, headers, rawHeaders)) {
        serveRequest(...event);
      }
    });
  }
  server.on("session", (session) => {
    connections.addSession(session);
    session.setTimeout(limits.idleTimeoutMs, () => session.close());
    // The session ends by itself; without a listener the error would end the process.
    session.on("error", () => {});
  });
  return server;
}

function createPlainServer(options: ServerOptions, http2Server: http2.Http2Server): http.Server {
  const { connections, limits, handler } = options;
  const server = http.createServer(http1Options(limits), handler);
  const serveHttp1 = takeOver<[Socket]>(server, "connection");
  server.on("connection", (socket: Socket) => {
    if (!connections.add(socket)) {
      socket.destroy();
      return;
    }
    // Answers are small and awaited; with Nagle's algorithm they would wait for the peer's delayed ACK.
    socket.setNoDelay(true);
    peek(socket, limits.headersTimeoutMs, (isHttp2) => {
      connections.decided(socket);
      if (isHttp2) {
        // The HTTP/1.1 server wants it otherwise; here a client that has ended is gone.
        socket.allowHalfOpen = false;
        http2Server.emit("connection", socket);
      } else {
        connections.addHttp1(socket);
        serveHttp1(socket);
      }
    });
  });
  return server;
}

/** The same over TLS. A connection that does not begin with a TLS handshake, or does not end it in time, is closed. */
function createTlsServer(
  { connections, limits, handler }: ServerOptions,
  { files, clientAuth }: ListenerTls,
  http2Server: http2.Http2Server,
): https.Server {
  const contextOf = ({ cert, key, ca }: TlsCredentials) => ({
    cert,
    key,
    ...(ca && { ca }),
    minVersion: "TLSv1.2" as const,
  });
  const server = https.createServer(
    {
      ...http1Options(limits),
      ...contextOf(files.credentials),
      ALPNProtocols: ["h2", "http/1.1"],
      handshakeTimeout: limits.headersTimeoutMs,
      requestCert: clientAuth !== "none",
      rejectUnauthorized: clientAuth === "required",
    },
    handler,
  );
  const beginTls = takeOver<[Socket]>(server, "connection");
  server.on("connection", (socket: Socket) => {
    if (connections.add(socket)) {
      beginTls(socket);
    } else {
      socket.destroy();
    }
  });
  const serveHttp1 = takeOver<[TLSSocket]>(server, "secureConnection");
  server.on("secureConnection", (socket: TLSSocket) => {
    // What is optional is whether there is a certificate, not whether it is a good one.
    if (clientAuth === "optional" && !socket.authorized && socket.getPeerX509Certificate()) {
      socket.destroy();
      return;
    }
    peek(socket, limits.headersTimeoutMs, () => {
      connections.decided(socket);
      if (socket.alpnProtocol === "h2") {
        http2Server.emit("connection", socket);
      } else {
        connections.addHttp1(socket);
        serveHttp1(socket);
        // Whoever listens for data gets Node.js to feed its parser by events. Else the parser takes the TLS records that
        // have come with the headers also while it waits for an answer to be taken, and that ends the connection.
        socket.on("data", () => {});
      }
    });
  });
  // New connections use the new credentials; sessions that were begun with the old ones cannot be resumed.
  files.follow((credentials) => server.setSecureContext(contextOf(credentials)));
  return server;
}

function http1Options(limits: ListenerLimits): http.ServerOptions {
  const { maxHeaderBytes, headersTimeoutMs, requestTimeoutMs, idleTimeoutMs } = limits;
  return {
    maxHeaderSize: maxHeaderBytes,
    // By default this is 5 s: clients that poll about as often, and balancers, would meet connections that just end.
    keepAliveTimeout: idleTimeoutMs,
    headersTimeout: Math.min(headersTimeoutMs, requestTimeoutMs),
    requestTimeout: requestTimeoutMs,
    // How late the two are noticed.
    connectionsCheckingInterval: Math.min(1_000, headersTimeoutMs),
  };
}

/** Takes a server's own listeners of an event away and answers what calls them. */
function takeOver<Event extends unknown[]>(server: EventEmitter, event: string): (...values: Event) => void {
  const listeners = server.listeners(event) as ((...values: Event) => void)[];
  server.removeAllListeners(event);
  return (...values) => {
    for (const listener of listeners) {
      listener.call(server, ...values);
    }
  };
}
