import { once } from "node:events";
import type * as http from "node:http";
import type { AddressInfo } from "node:net";
import type { Logger } from "pino";
import { createConnectionAge } from "./connection-age.ts";
import { type Connections, createConnections } from "./connections.ts";
import { type Guard, guardedHandler, guardedStreams } from "./guarded-handler.ts";
import { createServer } from "./http-servers.ts";
import type { ListenerLimits } from "./listener-limits.ts";
import type { ListenerTls } from "./listener-tls.ts";
import type { RequestHandler, StreamHandler } from "./request-handler.ts";
import { createSlowCalls } from "./slow-calls.ts";

/** Where and within which limits to listen. */
export interface ListenerOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly limits: ListenerLimits;
  /** Default: plaintext. */
  readonly tls?: ListenerTls | undefined;
  /** Asked first of every HTTP/2 request. Default: the handler answers them all. */
  readonly streamHandler?: StreamHandler | undefined;
  /** Is told of connections that were too many. Default: nobody is. */
  readonly log?: Logger;
}

/** A listening port. */
export interface Listener {
  readonly port: number;
  /** Whether it speaks TLS. */
  readonly isSecure: boolean;
  /**
   * Asks clients to go elsewhere: HTTP/2 connections get GOAWAY and end with their last call, HTTP/1.1 connections end
   * with their next answer. New connections are still taken, for those who have nowhere else to go.
   */
  drain(): void;
  /** The same, and takes no more connections; calls that are under way go on. Safe to repeat. */
  stopAccepting(): void;
  /** The same, and cuts off what is still open after `graceMs`. Resolves when all is closed. Safe to repeat. */
  close(graceMs: number): Promise<void>;
}

/** Time between two looks for connections and calls that have had their time, in milliseconds. */
const lookIntervalMs = 1_000;
/** Time between two looks for idle HTTP/1.1 connections while closing, in milliseconds. */
const idleCheckMs = 50;
/** Time between two lines in the log about connections that were too many, in milliseconds. */
const complaintIntervalMs = 10_000;

/**
 * Listens on one port for HTTP/1.1 and HTTP/2: with TLS, where ALPN decides, or without, where an HTTP/2 client is one
 * that begins with the HTTP/2 preface. Rejects with an Error that names the address when it cannot be had.
 */
export async function listen(handler: RequestHandler, options: ListenerOptions): Promise<Listener> {
  const { limits, tls } = options;
  const connections = createConnections(limits.maxConnectionsPerAddress);
  const slowCalls = createSlowCalls(limits.requestTimeoutMs);
  const age = createConnectionAge(connections, {
    maxAgeMs: limits.maxConnectionAgeMs,
    graceMs: limits.maxConnectionAgeGraceMs,
  });
  let draining = false;
  const isLast: Guard["isLast"] = (socket) => draining || age.isOver(socket);
  const guard = { ...limits, slowCalls, isLast };
  const server = createServer({
    handler: guardedHandler(handler, guard),
    onStream: options.streamHandler && guardedStreams(options.streamHandler, guard),
    connections,
    limits,
    tls,
  });
  if (options.log) {
    complainOfDrops(server, options.log, limits.maxConnections);
  }
  try {
    await bind(server, options);
  } catch (error) {
    tls?.files.stop();
    throw error;
  }
  const looking = setInterval(
    () => {
      const nowMs = performance.now();
      slowCalls.look(nowMs);
      age.look(nowMs);
    },
    Math.min(lookIntervalMs, limits.requestTimeoutMs),
  ).unref();
  const { port } = server.address() as AddressInfo;
  const drain = () => {
    draining = true;
    for (const session of connections.sessions.keys()) {
      session.close();
    }
  };
  let closed: Promise<void> | undefined;
  const stopAccepting = () => {
    closed ??= new Promise<void>((resolve) => server.close(() => resolve()));
    drain();
    connections.destroyUndecided();
    tls?.files.stop();
    return closed;
  };
  return {
    port,
    isSecure: tls !== undefined,
    drain,
    stopAccepting: () => void stopAccepting(),
    close: async (graceMs) => {
      await endWithin(graceMs, server, connections, stopAccepting());
      clearInterval(looking);
    },
  };
}

function complainOfDrops(server: http.Server, log: Logger, maxConnections: number): void {
  let dropped = 0;
  let toldMs = Number.NEGATIVE_INFINITY;
  server.on("drop", () => {
    dropped += 1;
    if (performance.now() - toldMs >= complaintIntervalMs) {
      toldMs = performance.now();
      log.warn({ dropped, maxConnections }, "connections were closed, because there are too many");
      dropped = 0;
    }
  });
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

async function endWithin(
  graceMs: number,
  server: http.Server,
  connections: Connections,
  closed: Promise<void>,
): Promise<void> {
  // A keep-alive connection whose last call has ended is idle, and nobody else would end it.
  server.closeIdleConnections();
  const idleCheck = setInterval(() => server.closeIdleConnections(), idleCheckMs);
  const cutOff = setTimeout(() => connections.destroyAll(), graceMs);
  await closed;
  clearInterval(idleCheck);
  clearTimeout(cutOff);
}
