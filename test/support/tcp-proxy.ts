import { once } from "node:events";
import { type AddressInfo, createServer, Socket } from "node:net";
import { performance } from "node:perf_hooks";

/**
 * What becomes of the connections, those that are open and new ones alike:
 *
 * - "pass": everything goes through.
 * - delayMs: everything goes through so many milliseconds after it came, both ways and in its order.
 * - "reset": every connection is reset, and a new one as soon as it is made.
 * - "black-hole": connections are made and kept, but nothing goes through, neither data nor an end nor a reset.
 * - "to-target-only": as a black hole for what the target sends; the client's requests arrive, the answers do not.
 * - "to-client-only": as a black hole for what the client sends, new connections among it.
 */
export type ProxyMode =
  | "pass"
  | "reset"
  | "black-hole"
  | "to-target-only"
  | "to-client-only"
  | { readonly delayMs: number };

/** A TCP proxy whose connections can be cut in several ways. */
export interface TcpProxy extends AsyncDisposable {
  /** http://127.0.0.1:<port> */
  readonly url: string;
  readonly port: number;
  /** Connections that clients have made so far, without those that were reset at once. */
  readonly accepted: number;
  /** Bytes handed on to the target so far. */
  readonly bytesToTarget: number;
  /** Bytes handed on to clients so far. */
  readonly bytesToClient: number;
  /** Takes effect at once; only what a socket has been given already may still arrive. "pass" before the first call. */
  setMode(mode: ProxyMode): void;
  /** Resets every connection and frees the port. Safe to repeat. */
  close(): Promise<void>;
}

/** Bytes that may wait in one direction of a connection; a sender that is further ahead is not read. */
const maxWaitingBytes = 1024 * 1024;

/**
 * Starts a proxy on a free port of 127.0.0.1 in front of another port there, which need not be listening yet.
 *
 * A closed direction leaves what arrives unread, rather than reading and dropping it, because that is what a network
 * does that loses packets: TCP keeps the bytes and sends them again, a sender stalls when its buffers are full, and
 * after the partition everything arrives, late but without a gap, even from a caller that has given up. So no
 * connection has to be reset for lost bytes when the mode returns to "pass". For a partition that ends with dead
 * connections, set "reset" in between.
 */
export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const links = new Set<Link>();
  let mode: ProxyMode = "pass";
  let accepted = 0;
  let bytesToTarget = 0;
  let bytesToClient = 0;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    if (mode === "reset") {
      client.on("error", () => {});
      client.resetAndDestroy();
      return;
    }
    accepted++;
    const target = new Socket({ allowHalfOpen: true });
    target.setNoDelay();
    const toTarget = new Lane(client, target, (bytes) => {
      bytesToTarget += bytes;
    });
    const toClient = new Lane(target, client, (bytes) => {
      bytesToClient += bytes;
    });
    const link: Link = { client, target, toTarget, toClient };
    links.add(link);
    for (const socket of [client, target]) {
      socket.on("close", () => {
        if (client.destroyed && target.destroyed) {
          links.delete(link);
        }
      });
    }
    // Making the connection is what comes first, and it is delayed and held back like the rest.
    toTarget.put(0, () => target.connect(targetPort, "127.0.0.1"));
    applyMode(link, mode);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;

  const setMode = (next: ProxyMode) => {
    mode = next;
    for (const link of links) {
      applyMode(link, mode);
    }
  };
  let closed: Promise<unknown> | undefined;
  const close = async () => {
    setMode("reset");
    closed ??= new Promise((resolve) => server.close(resolve));
    await closed;
  };
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    get accepted() {
      return accepted;
    },
    get bytesToTarget() {
      return bytesToTarget;
    },
    get bytesToClient() {
      return bytesToClient;
    },
    setMode,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** One connection of a client, and the proxy's own to the target. */
interface Link {
  readonly client: Socket;
  readonly target: Socket;
  readonly toTarget: Lane;
  readonly toClient: Lane;
}

function applyMode({ client, target, toTarget, toClient }: Link, mode: ProxyMode): void {
  if (mode === "reset") {
    client.resetAndDestroy();
    target.resetAndDestroy();
  }
  const delayMs = typeof mode === "object" ? mode.delayMs : 0;
  toTarget.setDelay(mode === "black-hole" || mode === "to-client-only" ? undefined : delayMs);
  toClient.setDelay(mode === "black-hole" || mode === "to-target-only" ? undefined : delayMs);
}

/** Something that travels through a lane. */
interface Parcel {
  readonly arrivedAtMs: number;
  readonly bytes: number;
  readonly deliver: () => void;
}

/** One direction of a connection. Its end and its reset travel behind the data. */
class Lane {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #onDelivered: (bytes: number) => void;
  readonly #waiting: Parcel[] = [];
  #waitingBytes = 0;
  /** Undefined while nothing goes through. */
  #delayMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, onDelivered: (bytes: number) => void) {
    this.#from = from;
    this.#to = to;
    this.#onDelivered = onDelivered;
    from.on("data", (chunk) => this.put(chunk.length, () => to.write(chunk)));
    from.on("end", () => this.put(0, () => to.end()));
    from.on("error", () => this.put(0, () => to.resetAndDestroy()));
    to.on("drain", () => this.#pump());
  }

  put(bytes: number, deliver: () => void): void {
    this.#waiting.push({ arrivedAtMs: performance.now(), bytes, deliver });
    this.#waitingBytes += bytes;
    this.#pump();
  }

  setDelay(delayMs: number | undefined): void {
    this.#delayMs = delayMs;
    this.#pump();
  }

  #pump(): void {
    clearTimeout(this.#timer);
    for (let next = this.#waiting[0]; next !== undefined && this.#mayGo(next); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#waitingBytes -= next.bytes;
      if (!this.#to.destroyed) {
        next.deliver();
        this.#onDelivered(next.bytes);
      }
    }
    if (this.#delayMs !== undefined && this.#waitingBytes < maxWaitingBytes) {
      this.#from.resume();
    } else {
      this.#from.pause();
    }
  }

  /** Whether a parcel can be delivered now; if only its time has not come yet, sees to it that it will be. */
  #mayGo({ arrivedAtMs }: Parcel): boolean {
    if (this.#delayMs === undefined || this.#to.writableNeedDrain) {
      return false;
    }
    const remainingMs = arrivedAtMs + this.#delayMs - performance.now();
    if (remainingMs > 0) {
      this.#timer = setTimeout(() => this.#pump(), Math.ceil(remainingMs));
    }
    return remainingMs <= 0;
  }
}
