import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";

/** What a listener has open. */
export interface Connections {
  /**
   * Takes a connection up; it is forgotten when it closes. It has not said yet what it wants. False when its address
   * has too many.
   */
  add(socket: Socket): boolean;
  /** The connection has said which version of HTTP it speaks. Over TLS, `socket` may be the encrypted one. */
  decided(socket: Socket): void;
  /** The connections of HTTP/1.1, with the time by performance.now() since when. */
  readonly http1: ReadonlyMap<Socket, number>;
  /** The same for HTTP/2. */
  readonly sessions: ReadonlyMap<ServerHttp2Session, number>;
  /** Takes up one of HTTP/1.1; it is forgotten when it closes. */
  addHttp1(socket: Socket): void;
  /** The same for HTTP/2. */
  addSession(session: ServerHttp2Session): void;
  /** Ends the connections that have not said what they want: no server knows of them. */
  destroyUndecided(): void;
  destroyAll(): void;
}

/** Makes a record of open connections. `maxPerAddress` of 0 is no limit. */
export function createConnections(maxPerAddress: number): Connections {
  const sockets = new Set<Socket>();
  // By the client's address and port, which a TLS socket shares with the one below it.
  const undecided = new Map<string, Socket>();
  const perAddress = new Map<string, number>();
  const http1 = new Map<Socket, number>();
  const sessions = new Map<ServerHttp2Session, number>();
  return {
    add: (socket) => {
      const address = socket.remoteAddress ?? "";
      const count = perAddress.get(address) ?? 0;
      if (maxPerAddress > 0 && count >= maxPerAddress) {
        return false;
      }
      perAddress.set(address, count + 1);
      const name = nameOf(socket);
      sockets.add(socket);
      undecided.set(name, socket);
      socket.once("close", () => {
        sockets.delete(socket);
        // The client may have come back from the same port meanwhile.
        if (undecided.get(name) === socket) {
          undecided.delete(name);
        }
        const left = (perAddress.get(address) ?? 1) - 1;
        if (left === 0) {
          perAddress.delete(address);
        } else {
          perAddress.set(address, left);
        }
      });
      return true;
    },
    decided: (socket) => {
      undecided.delete(nameOf(socket));
    },
    http1,
    sessions,
    addHttp1: (socket) => {
      http1.set(socket, performance.now());
      socket.once("close", () => http1.delete(socket));
    },
    addSession: (session) => {
      sessions.set(session, performance.now());
      session.once("close", () => sessions.delete(session));
    },
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
