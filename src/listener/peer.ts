import type { X509Certificate } from "node:crypto";
import type { Http2Session } from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { AnyRequest } from "./request-handler.ts";

/** Who is at the other end of a connection. */
export interface Peer {
  /** IP address; "" when the connection was gone before anyone asked. Behind a proxy it is the proxy's. */
  readonly address: string;
  /** The certificate the client has proved to own and an authority of tlsClientCaFile has signed. */
  readonly certificate?: X509Certificate;
}

/** What a TLS socket has and another one lacks. */
type ClientCertificate = { readonly [K in "authorized" | "getPeerX509Certificate"]?: TLSSocket[K] };

/** By HTTP/2 session or HTTP/1.1 socket, so that a certificate is parsed once for a connection and not for each call. */
const peers = new WeakMap<object, Peer>();

/** Who sends a request. */
export function peerOf(request: AnyRequest): Peer {
  const session = "stream" in request ? request.stream.session : undefined;
  return session ? peerOfSession(session) : known(request.socket, () => readPeer(request.socket));
}

/** Who is at the other end of an HTTP/2 connection. */
export function peerOfSession(session: Http2Session): Peer {
  return known(session, () => readPeer(session.destroyed ? undefined : session.socket));
}

function known(connection: object, read: () => Peer): Peer {
  let peer = peers.get(connection);
  if (!peer) {
    peer = read();
    peers.set(connection, peer);
  }
  return peer;
}

function readPeer(socket: (Socket & ClientCertificate) | undefined): Peer {
  const certificate = socket?.authorized ? socket.getPeerX509Certificate?.() : undefined;
  return { address: socket?.remoteAddress ?? "", ...(certificate && { certificate }) };
}
