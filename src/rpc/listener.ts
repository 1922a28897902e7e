import { once } from "node:events";
import * as http from "node:http";
import * as http2 from "node:http2";
import type { AddressInfo, Socket } from "node:net";

/** Answers a request of either HTTP version. */
export type RequestHandler = (
  request: http.IncomingMessage | http2.Http2ServerRequest,
  response: http.ServerResponse | http2.Http2ServerResponse,
) => void;

/** Where and within which limits to listen. */
export interface ListenerOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Calls that one HTTP/2 connection may have open. */
  readonly maxConcurrentStreams: number;
}

/** A listening port. */
export interface Listener {
  readonly port: number;
  /** Takes no more connections, ends idle ones, and cuts off what is still open after `graceMs`. Safe to repeat. */
  close(graceMs: number): Promise<void>;
}

/** How an HTTP/2 connection begins (RFC 9113, section 3.4); three bytes tell it from every HTTP/1.1 method. */
const prefaceStart = Buffer.from("PRI");
const maximumHeaderBytes = 16 * 1024;
/** How long a client may take for its request's headers, and for a whole request, in milliseconds. */
const headersTimeoutMs = 10_000;
const requestTimeoutMs = 30_000;
/** How long an HTTP/2 connection may be silent; a client that polls keeps it open. */
const idleTimeoutMs = 5 * 60_000;
/** Time between two looks for idle HTTP/1.1 connections while closing, in milliseconds. */
const idleCheckMs = 50;

/**
 * Listens on one plaintext port for HTTP/1.1 and HTTP/2 with prior knowledge.
 *
 * The HTTP/1.1 server does the listening, because only then does Node.js apply its timeouts; connections that begin
 * with the HTTP/2 preface are handed on. Rejects with an Error that names the address when it cannot be had.
 */
export async function listen(handler: RequestHandler, options: ListenerOptions): Promise<Listener> {
  const http1Server = http.createServer(
    { maxHeaderSize: maximumHeaderBytes, headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs },
    handler,
  );
  const http2Server = http2.createServer(
    {
      settings: { maxConcurrentStreams: options.maxConcurrentStreams, maxHeaderListSize: maximumHeaderBytes },
      unknownProtocolTimeout: headersTimeoutMs,
    },
    handler,
  );
  const sockets = new Set<Socket>();
  const undecided = new Set<Socket>();
  const sessions = new Set<http2.ServerHttp2Session>();
  http2Server.on("session", (session) => {
    sessions.add(session);
    session.setTimeout(idleTimeoutMs, () => session.close());
    session.once("close", () => sessions.delete(session));
    // The session ends by itself; without a listener the error would end the process.
    session.on("error", () => {});
  });
  takeConnections(http1Server, http2Server, sockets, undecided);
  await bind(http1Server, options);
  const { port } = http1Server.address() as AddressInfo;
  return { port, close: (graceMs) => close(http1Server, sessions, sockets, undecided, graceMs) };
}

/** Takes every new connection from the HTTP/1.1 server and gives it to the server of its protocol. */
function takeConnections(
  http1Server: http.Server,
  http2Server: http2.Http2Server,
  sockets: Set<Socket>,
  undecided: Set<Socket>,
): void {
  const serveHttp1 = http1Server.listeners("connection") as ((socket: Socket) => void)[];
  http1Server.removeAllListeners("connection");
  http1Server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    undecided.add(socket);
    socket.once("close", () => {
      sockets.delete(socket);
      undecided.delete(socket);
    });
    // Answers are small and awaited; with Nagle's algorithm they would wait for the peer's delayed ACK.
    socket.setNoDelay(true);
    peek(socket, (isHttp2) => {
      undecided.delete(socket);
      if (isHttp2) {
        http2Server.emit("connection", socket);
      } else {
        for (const serve of serveHttp1) {
          serve.call(http1Server, socket);
        }
      }
    });
  });
}

/** Looks at the first bytes of a connection without consuming them. A client that sends nothing is cut off. */
function peek(socket: Socket, decided: (isHttp2: boolean) => void): void {
  const leave = () => socket.destroy();
  const timer = setTimeout(leave, headersTimeoutMs).unref();
  const ignore = () => {};
  let seen = Buffer.alloc(0);
  const look = () => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) {
      return;
    }
    seen = Buffer.concat([seen, chunk]);
    const length = Math.min(seen.length, prefaceStart.length);
    const mayBeHttp2 = seen.subarray(0, length).equals(prefaceStart.subarray(0, length));
    if (mayBeHttp2 && seen.length < prefaceStart.length) {
      return;
    }
    clearTimeout(timer);
    socket.off("readable", look);
    socket.off("end", leave);
    socket.off("error", ignore);
    socket.unshift(seen);
    decided(mayBeHttp2);
  };
  socket.on("error", ignore);
  // The sockets of an http.Server stay half open when the client ends.
  socket.once("end", leave);
  socket.once("close", () => clearTimeout(timer));
  socket.on("readable", look);
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

async function close(
  server: http.Server,
  sessions: ReadonlySet<http2.ServerHttp2Session>,
  sockets: ReadonlySet<Socket>,
  undecided: ReadonlySet<Socket>,
  graceMs: number,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  // A keep-alive connection whose last call ends meanwhile is idle then, and nobody else would end it.
  const idleCheck = setInterval(() => server.closeIdleConnections(), idleCheckMs);
  for (const session of sessions) {
    session.close();
  }
  // Neither server knows of connections that have not said which one they want.
  for (const socket of undecided) {
    socket.destroy();
  }
  const cutOff = setTimeout(() => {
    for (const socket of sockets) {
      socket.destroy();
    }
  }, graceMs);
  await closed;
  clearInterval(idleCheck);
  clearTimeout(cutOff);
}
