import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect as connectTcp, isIP } from "node:net";
import { connect as connectTls, type SecureContextOptions } from "node:tls";

/** How long a connection may take to be made, and an answer to a ping, in milliseconds. */
const patienceMs = 5_000;
/** How long no other connection is tried after one that could not be used, in milliseconds. */
const pauseMs = 60_000;

/** An address that can be connected to; brackets are around those of IPv6. */
const ipAndPort = /^\[?([\da-fA-F.:]+)\]?:(\d+)$/;

/** Where a session goes, and as who. */
export interface LaneSessionOptions {
  readonly url: URL;
  /** Authorities and certificate for a connection over TLS, as they are now. */
  readonly secureContext: () => SecureContextOptions;
  /** Milliseconds since any fixed instant; never goes back. */
  readonly now: () => number;
}

/**
 * The HTTP/2 session of a lane.
 *
 * I1 It is given out only between the server's first settings and the first sign of its end: a GOAWAY, an error, a ping
 *    without an answer.
 * I2 Nothing is sent on a connection that has not shown to be one of HTTP/2, to a server that proved who it is.
 * I3 An idle session does not keep the process.
 */
export class LaneSession {
  readonly #options: LaneSessionOptions;
  /** All that have not ended. */
  readonly #sessions = new Set<ClientHttp2Session>();
  #opening: ClientHttp2Session | undefined;
  #ready: ClientHttp2Session | undefined;
  #pausedUntilMs = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  constructor(options: LaneSessionOptions) {
    this.#options = options;
  }

  /** The session, if a call can begin on it. */
  get ready(): ClientHttp2Session | undefined {
    return this.#ready?.closed || this.#ready?.destroyed ? undefined : this.#ready;
  }

  /** Makes a connection to an address, such as "127.0.0.1:50051", unless there is one or it is too soon to try again. */
  open(address: string): void {
    const { now } = this.#options;
    if (this.#isClosed || this.#opening || this.#ready || now() < this.#pausedUntilMs) {
      return;
    }
    const [, host, port] = ipAndPort.exec(address) ?? [];
    if (host === undefined) {
      return;
    }
    const session = this.#connect(host, Number(port));
    this.#opening = session;
    this.#sessions.add(session);
    session.unref();
    session.on("error", ignore);
    const tooLate = setTimeout(() => session.destroy(), patienceMs).unref();
    session.once("remoteSettings", () => {
      clearTimeout(tooLate);
      if (this.#opening === session && !session.closed) {
        this.#opening = undefined;
        this.#ready = session;
      }
    });
    session.once("close", () => {
      clearTimeout(tooLate);
      this.#sessions.delete(session);
      if (this.#opening === session) {
        this.#opening = undefined;
        this.#pausedUntilMs = now() + pauseMs;
      }
      this.#forget(session);
    });
    session.once("goaway", () => this.#forget(session));
  }

  /** Gives a session that may be dead to nobody until it has answered a ping, and ends it when it does not. */
  doubt(session: ClientHttp2Session): void {
    if (this.ready !== session) {
      return;
    }
    this.#ready = undefined;
    const dead = setTimeout(() => session.destroy(), patienceMs).unref();
    session.once("close", () => clearTimeout(dead));
    session.ping((error) => {
      clearTimeout(dead);
      if (error || session.closed || this.#opening || this.#ready) {
        session.close();
      } else {
        this.#ready = session;
      }
    });
  }

  /** Lets the calls on a session end that is not to be used any more, and no other one be made for a while. */
  retire(session: ClientHttp2Session): void {
    this.#forget(session);
    this.#pausedUntilMs = this.#options.now() + pauseMs;
    session.close();
  }

  /** Ends the session and the calls on it. Safe to repeat. */
  close(): void {
    this.#isClosed = true;
    for (const session of this.#sessions) {
      session.destroy();
    }
  }

  #forget(session: ClientHttp2Session): void {
    if (this.#ready === session) {
      this.#ready = undefined;
    }
  }

  #connect(host: string, port: number): ClientHttp2Session {
    const { url, secureContext } = this.#options;
    const name = url.hostname.replace(/^\[(.*)\]$/, "$1");
    const createConnection = () =>
      url.protocol === "https:"
        ? connectTls({
            ...secureContext(),
            ...(isIP(name) === 0 && { servername: name }),
            ALPNProtocols: ["h2"],
            host,
            port,
          })
        : connectTcp({ host, port });
    return connectHttp2(url, {
      createConnection,
      settings: { enablePush: false },
      // Answers have limits of their own.
      maxSessionMemory: Number.MAX_SAFE_INTEGER,
    });
  }
}

/** Of what goes wrong, the close tells, too. */
function ignore(): void {}
