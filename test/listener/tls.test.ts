import { once } from "node:events";
import type * as http from "node:http";
import * as http2 from "node:http2";
import * as https from "node:https";
import { Duplex } from "node:stream";
import * as tls from "node:tls";
import { pino } from "pino";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type Listener, listen } from "../../src/listener/listener.ts";
import { tlsFromSettings } from "../../src/listener/listener-tls.ts";
import { peerOf } from "../../src/listener/peer.ts";
import type { RequestHandler } from "../../src/listener/request-handler.ts";
import {
  type CertificateAuthority,
  type CertificatePair,
  createCertificateAuthority,
} from "../support/certificates.ts";
import { listenerLimits } from "../support/listener-limits.ts";
import { rawConnection } from "../support/raw-connection.ts";
import { tlsDirectory } from "../support/tls-directory.ts";

const log = pino({ level: "silent" });

/** Answers with the HTTP version of the request and the names in the client's certificate. */
const tellVersion: RequestHandler = (request, response) => {
  const names = peerOf(request).certificate?.subjectAltName ?? "";
  (response as http.ServerResponse).end(`${request.httpVersion} ${names}`.trim());
};

let authority: CertificateAuthority;
let server: CertificatePair;
let client: CertificatePair;
let stranger: CertificatePair;
beforeAll(async () => {
  authority = await createCertificateAuthority();
  server = await authority.issue();
  client = await authority.issue({ dns: [], ip: [], uris: ["spiffe://test/reader"] });
  stranger = await (await createCertificateAuthority("another one")).issue({ name: "stranger" });
});

async function listening(
  clientAuth: "auto" | "none" | "optional" = "none",
  handler: RequestHandler = tellVersion,
): Promise<Listener> {
  const { settings } = await tlsDirectory(server, clientAuth === "none" ? undefined : authority.cert);
  const options = await tlsFromSettings({ ...settings, tlsClientAuth: clientAuth }, log);
  const listener = await listen(handler, {
    host: "127.0.0.1",
    port: 0,
    limits: listenerLimits(),
    ...(options && { tls: options }),
  });
  onTestFinished(() => listener.close(0));
  return listener;
}

async function over1(port: number, own?: CertificatePair): Promise<string> {
  const request = https.get({ port, host: "127.0.0.1", ca: authority.cert, agent: false, ...own });
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  return Buffer.concat(await response.toArray()).toString();
}

async function over2(port: number, own?: CertificatePair): Promise<string> {
  const session = http2.connect(`https://127.0.0.1:${port}`, { ca: authority.cert, ...own });
  const failed = once(session, "close").then(() => Promise.reject(new Error("closed")));
  failed.catch(() => {});
  session.on("error", () => {});
  const stream = session.request({ ":path": "/" });
  stream.on("error", () => {});
  await Promise.race([once(stream, "response"), failed]);
  const text = Buffer.concat(await stream.toArray()).toString();
  session.close();
  return text;
}

describe("over TLS", () => {
  test("ALPN decides between HTTP/1.1 and HTTP/2, and without it a client speaks HTTP/1.1", async () => {
    const listener = await listening();
    expect(listener.isSecure).toBe(true);
    expect(await over1(listener.port)).toBe("1.1");
    expect(await over2(listener.port)).toBe("2.0");
    const socket = tls.connect({ port: listener.port, host: "127.0.0.1", ca: authority.cert, ALPNProtocols: [] });
    socket.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    expect(Buffer.concat(await socket.toArray()).toString()).toMatch(/^HTTP\/1\.1 200 OK/);
  });

  test("TLS 1.1 is refused", async () => {
    const { port } = await listening();
    const old = { maxVersion: "TLSv1.1", minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
    const socket = tls.connect({ port, host: "127.0.0.1", ca: authority.cert, ...old });
    const [error] = await once(socket, "error");
    expect(error.code).toBe("ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION");
  });

  test("plaintext clients are closed without harm to the others", async () => {
    const { port } = await listening();
    for (const bytes of [
      "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "\x16\x03\x01\xff\xff",
    ]) {
      const socket = await rawConnection(port);
      socket.resume();
      const closed = once(socket, "close");
      socket.end(bytes);
      await closed;
    }
    for (const bytes of ["", "\x16", "\x16\x03\x01"]) {
      const socket = await rawConnection(port);
      socket.write(bytes);
      socket.resetAndDestroy();
    }
    expect(await over1(port)).toBe("1.1");
    expect(await over2(port)).toBe("2.0");
  });
});

describe("a client certificate", () => {
  test("is required when there are authorities for it, and known to handlers", async () => {
    const { port } = await listening("auto");
    expect(await over1(port, client)).toBe("1.1 URI:spiffe://test/reader");
    expect(await over2(port, client)).toBe("2.0 URI:spiffe://test/reader");
    for (const call of [over1, over2]) {
      await expect(call(port)).rejects.toThrow();
      await expect(call(port, stranger)).rejects.toThrow();
    }
    expect(await over2(port, client)).toBe("2.0 URI:spiffe://test/reader");
  });

  test("may be left out when it is optional, but not be one of another authority", async () => {
    const { port } = await listening("optional");
    expect(await over1(port, client)).toBe("1.1 URI:spiffe://test/reader");
    expect(await over2(port)).toBe("2.0");
    expect(await over1(port)).toBe("1.1");
    for (const call of [over1, over2]) {
      await expect(call(port, stranger)).rejects.toThrow();
    }
  });

  test("is known again when the session is resumed", async () => {
    const { port } = await listening("auto");
    const options = { port, host: "127.0.0.1", ca: authority.cert, ...client };
    let ticket: Buffer | undefined;
    const ask = async () => {
      const socket = tls.connect({ ...options, ...(ticket && { session: ticket }) });
      socket.on("session", (session) => {
        ticket = session;
      });
      await once(socket, "secureConnect");
      const isReused = socket.isSessionReused();
      socket.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
      return { answer: Buffer.concat(await socket.toArray()).toString(), isReused };
    };
    const first = await ask();
    const second = await ask();
    expect([first.isReused, second.isReused]).toEqual([false, true]);
    expect(second.answer).toContain("spiffe://test/reader");
  });
});

test("a request in several TLS records may come while the answer before is not taken yet", async () => {
  const large = "x".repeat(4_000_000);
  const { port } = await listening("none", (request, response) => {
    request.resume();
    request.once("end", () => (response as http.ServerResponse).end(request.url === "/large" ? large : "small"));
  });
  const { secure, send } = await recordsTogether(port);
  await send("GET /large HTTP/1.1\r\nhost: longhaul\r\n\r\n");
  const [begin] = (await once(secure, "readable").then(() => [secure.read(1)])) as [Buffer];
  expect(String(begin)).toBe("H");
  await send("POST /small HTTP/1.1\r\nhost: longhaul\r\ncontent-length: 4\r\nconnection: close\r\n\r\n", "1234");
  const answers = (await secure.toArray()).join("");
  expect(answers.length).toBeGreaterThan(large.length);
  expect(answers).toMatch(/HTTP\/1.1 200 OK\r\n[^x]*small$/);
});

/** A TLS connection; each call of `send` writes the texts as TLS records of their own that travel together. */
async function recordsTogether(port: number) {
  const socket = await rawConnection(port);
  let held: Buffer[] | undefined;
  const transport = new Duplex({
    read: () => void socket.resume(),
    write: (record: Buffer, _, done) => {
      if (held) {
        held.push(record);
      } else {
        socket.write(record);
      }
      done();
    },
  });
  socket.on("data", (bytes) => transport.push(bytes) || socket.pause());
  socket.on("end", () => transport.push(null));
  const secure = tls.connect({ socket: transport, ca: authority.cert, host: "127.0.0.1", ALPNProtocols: ["http/1.1"] });
  onTestFinished(() => void secure.destroy());
  await once(secure, "secureConnect");
  const send = async (...texts: string[]) => {
    held = [];
    for (const text of texts) {
      await new Promise((resolve) => secure.write(text, resolve));
    }
    socket.write(Buffer.concat(held));
    held = undefined;
  };
  return { secure, send };
}

test("closing ends idle connections and unfinished handshakes at once and lets a call that is under way end", async () => {
  const waiting: (() => void)[] = [];
  const { port, close } = await listening("none", (_, response) => {
    waiting.push(() => (response as http.ServerResponse).end("answered"));
  });
  const silent = await rawConnection(port);
  const idle = tls.connect({ port, host: "127.0.0.1", ca: authority.cert, ALPNProtocols: ["h2"] });
  idle.on("error", () => {});
  await once(idle, "secureConnect");
  const [first, second] = [over1(port), over2(port)];
  await expect.poll(() => waiting.length).toBe(2);
  const closed = close(60_000);
  for (const answer of waiting) {
    answer();
  }
  expect(await Promise.all([first, second])).toEqual(["answered", "answered"]);
  await closed;
  expect(silent.readableEnded || silent.destroyed).toBe(true);
});
