import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Connections } from "./connections.ts";

/** Which connections have lived long enough, so that a balancer can spread its clients anew. */
export interface ConnectionAge {
  /** Whether the answer to a request of this HTTP/1.1 connection is to be its last one. */
  isOver(socket: Socket): boolean;
  /** Looks for old HTTP/2 connections: asks them to end, and cuts off those that have not for too long. */
  look(nowMs: number): void;
}

/** How far the limit of a connection is from the one that is set, so that those made together do not end together. */
const jitter = 0.1;

/** Watches the age of connections. A `maxAgeMs` of 0 is no limit. */
export function createConnectionAge(
  connections: Connections,
  { maxAgeMs, graceMs }: { readonly maxAgeMs: number; readonly graceMs: number },
): ConnectionAge {
  const limits = new WeakMap<Socket | ServerHttp2Session, number>();
  const limitOf = (connection: Socket | ServerHttp2Session) => {
    const limit = limits.get(connection) ?? maxAgeMs * (1 - jitter + 2 * jitter * Math.random());
    limits.set(connection, limit);
    return limit;
  };
  return {
    isOver: (socket) => {
      const sinceMs = connections.http1.get(socket);
      return maxAgeMs > 0 && sinceMs !== undefined && performance.now() - sinceMs >= limitOf(socket);
    },
    look: (nowMs) => {
      if (maxAgeMs === 0) {
        return;
      }
      for (const [session, sinceMs] of connections.sessions) {
        const overMs = nowMs - sinceMs - limitOf(session);
        if (overMs >= graceMs) {
          session.destroy();
        } else if (overMs >= 0) {
          // Sends GOAWAY with the last stream that was begun: a client knows that it may repeat later ones.
          session.close();
        }
      }
    },
  };
}
