import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";

/** What a listener has open. */
export interface Connections {
  /** Takes a connection up; it is forgotten when it closes. It has not said yet what it wants. */
  add(socket: Socket): void;
  /** The connection has said which version of HTTP it speaks. Over TLS, `socket` may be the encrypted one. */
  decided(socket: Socket): void;
  /** Takes up an HTTP/2 session; it is forgotten when it closes. */
  addSession(session: ServerHttp2Session): void;
  readonly sessions: ReadonlySet<ServerHttp2Session>;
  /** Ends the connections that have not said what they want: no server knows of them. */
  destroyUndecided(): void;
  destroyAll(): void;
}

/** Makes a record of open connections. */
export function createConnections(): Connections {
  const sockets = new Set<Socket>();
  // By the client's address and port, which a TLS socket shares with the one below it.
  const undecided = new Map<string, Socket>();
  const sessions = new Set<ServerHttp2Session>();
  return {
    add: (socket) => {
      const name = nameOf(socket);
      sockets.add(socket);
      undecided.set(name, socket);
      socket.once("close", () => {
        sockets.delete(socket);
        // The client may have come back from the same port meanwhile.
        if (undecided.get(name) === socket) {
          undecided.delete(name);
        }
      });
    },
    decided: (socket) => {
      undecided.delete(nameOf(socket));
    },
    addSession: (session) => {
      sessions.add(session);
      session.once("close", () => sessions.delete(session));
    },
    sessions,
    destroyUndecided: () => {
      for (const socket of undecided.values()) {
        socket.destroy();
      }
    },
    destroyAll: () => {
      for (const socket of sockets) {
        socket.destroy();
      }
    },
  };
}

function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
