import { once } from "node:events";
import * as tls from "node:tls";
import { pino } from "pino";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { listen } from "../../src/listener/listener.ts";
import { readTlsFiles } from "../../src/listener/tls-reload.ts";
import {
  type CertificateAuthority,
  type CertificatePair,
  createCertificateAuthority,
} from "../support/certificates.ts";
import { type TlsDirectory, tlsDirectory } from "../support/tls-directory.ts";

const dayMs = 86_400_000;
let authority: CertificateAuthority;
let first: CertificatePair;
let second: CertificatePair;
beforeAll(async () => {
  authority = await createCertificateAuthority();
  first = await authority.issue({ name: "first" });
  second = await authority.issue({ name: "second" });
});

/** A log whose lines are kept: "warn: text". */
function keptLog() {
  const lines: string[] = [];
  const write = (line: string) => {
    const { level, msg, err } = JSON.parse(line);
    lines.push(`${pino.levels.labels[level]}: ${msg}${err ? `: ${err.message}` : ""}`);
  };
  return { lines, log: pino({ level: "info" }, { write }) };
}

/** A server that looks at its files again and again, and what it logs. */
async function reloading({ settings }: TlsDirectory, now?: () => number) {
  const { lines, log } = keptLog();
  const files = await readTlsFiles({ files: settings, log, intervalMs: 5, ...(now && { now }) });
  const clientAuth = settings.tlsClientCaFile === "" ? "none" : "required";
  const listener = await listen((_, response) => response.end(), {
    host: "127.0.0.1",
    port: 0,
    maxConcurrentStreams: 8,
    tls: { files, clientAuth },
  });
  onTestFinished(() => listener.close(0));
  return { port: listener.port, lines };
}

async function connected(port: number, own?: CertificatePair): Promise<tls.TLSSocket> {
  const socket = tls.connect({ port, host: "127.0.0.1", ca: authority.cert, ...own });
  socket.on("error", () => {});
  onTestFinished(() => void socket.destroy());
  await once(socket, "secureConnect");
  return socket;
}

/** The name in the certificate that new connections get. */
async function served(port: number): Promise<string | undefined> {
  const socket = await connected(port);
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  return String(CN);
}

describe("when the files change", () => {
  test("new connections get the new certificate, and open ones stay", async () => {
    const directory = await tlsDirectory(first);
    const { port, lines } = await reloading(directory);
    const open = await connected(port);
    expect(await served(port)).toBe("first");
    directory.replace(second);
    await expect.poll(() => served(port)).toBe("second");
    open.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    expect(String((await once(open, "data"))[0])).toMatch(/^HTTP\/1\.1 200 OK/);
    expect(lines).toEqual(["info: the TLS files have changed and are used"]);
  });

  test("to something that cannot be used, the ones before stay in use, and it is logged once", async () => {
    const directory = await tlsDirectory(first);
    const { port, lines } = await reloading(directory);
    for (const [broken, why] of [
      [{ cert: second.cert, key: first.key }, "does not belong to the first certificate"],
      [{ cert: "nonsense", key: first.key }, "holds no certificate in PEM form"],
      [{ cert: second.cert }, "does not exist"],
    ] as const) {
      const before = lines.length;
      directory.replace(broken);
      await expect.poll(() => lines.slice(before)).toEqual([expect.stringContaining(why)]);
      expect(await served(port)).toBe("first");
    }
    expect(lines.every((line) => line.startsWith("error: the TLS files have changed and cannot be used"))).toBe(true);
    directory.replace(second);
    await expect.poll(() => served(port)).toBe("second");
    expect(lines).toHaveLength(4);
  });

  test("clients of an authority that has gone are refused", async () => {
    const other = await createCertificateAuthority("other");
    const client = await authority.issue({ name: "client" });
    const directory = await tlsDirectory(first, authority.cert);
    const { port } = await reloading(directory);
    const ask = async () => {
      const socket = await connected(port, client);
      const ended = Promise.race([once(socket, "close"), once(socket, "data")]);
      socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
      const [data] = await ended;
      return String(data).slice(0, 15);
    };
    expect(await ask()).toBe("HTTP/1.1 200 OK");
    directory.replace({ ...first, ca: other.cert });
    await expect.poll(ask).not.toBe("HTTP/1.1 200 OK");
  });
});

describe("a certificate that ends", () => {
  const endsIn = async (days: number) =>
    tlsDirectory(await authority.issue({ notAfter: new Date(Date.now() + days * dayMs) }));

  test("is told of 7 days before, once a day, and when it has ended", async () => {
    let nowMs = Date.now();
    const { lines } = await reloading(await endsIn(20), () => nowMs);
    nowMs += 12 * dayMs;
    const { port } = await reloading(await tlsDirectory(second));
    await served(port);
    expect(lines).toEqual([]);
    for (const expected of [
      "warn: the TLS certificate expires within 7 days",
      "error: the TLS certificate has expired",
    ]) {
      nowMs += expected.startsWith("warn") ? 1.5 * dayMs : 7 * dayMs;
      await expect.poll(() => lines.at(-1)).toBe(expected);
    }
    expect(lines).toHaveLength(2);
  });

  test("or has ended is no reason not to start", async () => {
    const { lines } = await reloading(await endsIn(-0.5));
    expect(lines).toEqual(["error: the TLS certificate has expired"]);
  });
});
