import { once } from "node:events";
import type * as http from "node:http";
import * as http2 from "node:http2";
import { setTimeout as pause } from "node:timers/promises";
import { pino } from "pino";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Listener, listen } from "../../src/listener/listener.ts";
import type { ListenerLimits } from "../../src/listener/listener-limits.ts";
import { tlsFromSettings } from "../../src/listener/listener-tls.ts";
import type { RequestHandler } from "../../src/listener/request-handler.ts";
import { rapidResets, type SlowManner, trickle } from "../abuse/attacks.ts";
import { clientBegins } from "../abuse/http2-frames.ts";
import { rawClient } from "../abuse/raw-client.ts";
import { createCertificateAuthority } from "../support/certificates.ts";
import { listenerLimits } from "../support/listener-limits.ts";
import { rawConnection } from "../support/raw-connection.ts";
import { tlsDirectory } from "../support/tls-directory.ts";

/** Answers once the whole request has come. */
const answerAll: RequestHandler = (request, response) => {
  request.resume();
  request.once("end", () => (response as http.ServerResponse).end("answered"));
};

async function listening(limits: Partial<ListenerLimits>, handler = answerAll): Promise<Listener> {
  const listener = await listen(handler, { host: "127.0.0.1", port: 0, limits: listenerLimits(limits) });
  onTestFinished(() => listener.close(0));
  return listener;
}

async function over1(port: number, headers: Record<string, string> = {}): Promise<Response> {
  const response = await fetch(`http://127.0.0.1:${port}/`, { headers });
  // Until it is read, its connection is not used again.
  await response.arrayBuffer();
  return response;
}

function session2(port: number): http2.ClientHttp2Session {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  onTestFinished(() => session.destroy());
  return session;
}

/** The status of the answer, or the error the call ends with. */
async function over2(session: http2.ClientHttp2Session, headers: Record<string, string> = {}): Promise<unknown> {
  const stream = session.request({ ":path": "/", ...headers });
  return new Promise((resolve) => {
    stream.on("response", (answer) => resolve(answer[":status"]));
    stream.on("error", (error: NodeJS.ErrnoException) => resolve(error.message));
    stream.on("close", () => resolve("closed"));
    stream.resume();
  });
}

describe("connections", () => {
  test("beyond the limit are closed, and taken again when others have gone", async () => {
    const { port } = await listening({ maxConnections: 2 });
    const [first] = [await rawConnection(port), await rawConnection(port)];
    const third = await rawConnection(port);
    third.resume();
    await once(third, "close");
    first.destroy();
    await expect.poll(async () => (await over1(port).catch(() => undefined))?.status).toBe(200);
  });

  test("beyond the limit of one address are closed, too", async () => {
    const { port } = await listening({ maxConnectionsPerAddress: 2 });
    const [first] = [await rawConnection(port), await rawConnection(port)];
    const third = await rawConnection(port);
    third.resume();
    await once(third, "close");
    first.destroy();
    await expect.poll(async () => (await over1(port).catch(() => undefined))?.status).toBe(200);
  });
});

describe("headers", () => {
  const long = { "x-long": "x".repeat(1_200) };
  const many = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`x-${index}`, "y"]));

  test("that are too long are refused with 431 in both versions", async () => {
    const { port } = await listening({ maxHeaderBytes: 1_024 });
    expect((await over1(port, long)).status).toBe(431);
    expect(await over2(session2(port), long)).toBe(431);
    expect((await over1(port)).status).toBe(200);
  });

  test("that are too many are refused, too", async () => {
    const { port } = await listening({ maxHeaders: 30 });
    expect((await over1(port, many)).status).toBe(431);
    const session = session2(port);
    expect(await over2(session, many)).toMatch(/ENHANCE_YOUR_CALM/);
    expect(await over2(session)).toBe(200);
  });

  test("that no URL can be made of are a bad request", async () => {
    const { port } = await listening({}, (request) => {
      throw new Error(`${request.headers.host} is no host`);
    });
    expect((await over1(port)).status).toBe(400);
    expect(await over2(session2(port))).toBe(400);
  });
});

describe.each([{ isSecure: false }, { isSecure: true }])("a client that is slow (TLS: $isSecure)", ({ isSecure }) => {
  let port: number;
  let ca: string | undefined;
  const limits = { headersTimeoutMs: 200, requestTimeoutMs: 400 };
  const start = async () => {
    const authority = await createCertificateAuthority();
    ca = isSecure ? authority.cert : undefined;
    const files = isSecure ? (await tlsDirectory(await authority.issue())).settings : undefined;
    const tls = files && (await tlsFromSettings({ ...files, tlsClientAuth: "none" }, pino({ level: "silent" })));
    const listener = await listen(answerAll, { host: "127.0.0.1", port: 0, limits: listenerLimits(limits), tls });
    onTestFinished(() => listener.close(0));
    port = listener.port;
  };
  const manners: readonly SlowManner[] = [
    "silence",
    "headers1",
    "body1",
    "body2",
    ...(isSecure ? ["handshake" as const] : []),
  ];

  test.each(manners)("is cut off: %s", async (manner) => {
    await start();
    await trickle({ port, ca }, manner, 50);
  });
});

test("an HTTP/2 client that does not take its answer is cut off", async () => {
  const { port } = await listening({ requestTimeoutMs: 200 }, (_, response) => {
    (response as http.ServerResponse).end(Buffer.alloc(1_000_000));
  });
  const session = http2.connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 10 } });
  onTestFinished(() => session.destroy());
  const stream = session.request({ ":path": "/" });
  stream.on("error", () => {});
  stream.pause();
  await new Promise((resolve) => stream.once("close", resolve));
  expect(stream.rstCode).toBe(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
});

test("an HTTP/1.1 client that does not take its answer is cut off", async () => {
  const cutOff = Promise.withResolvers<boolean>();
  const { port } = await listening({ requestTimeoutMs: 200 }, (_, response) => {
    (response as http.ServerResponse).end(Buffer.alloc(50_000_000));
    response.once("close", () => cutOff.resolve(response.writableFinished));
  });
  const { socket } = await rawClient(port);
  onTestFinished(() => void socket.destroy());
  socket.pause();
  socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  expect(await cutOff.promise).toBe(false);
});

test("a handler that takes its time is left alone, in both versions", async () => {
  const { port } = await listening({ headersTimeoutMs: 50, requestTimeoutMs: 50 }, (request, response) => {
    request.resume();
    setTimeout(() => (response as http.ServerResponse).end("late"), 400);
  });
  expect((await over1(port)).status).toBe(200);
  expect(await over2(session2(port))).toBe(200);
});

test("a client that abandons call after call loses its connection", async () => {
  const { port } = await listening({ maxStreamResets: 20 });
  expect(await rapidResets({ port }, 1_000)).toBeGreaterThan(0);
  const { port: patient } = await listening({ maxStreamResets: 2_000 });
  expect(await rapidResets({ port: patient }, 1_000)).toBe(0);
});

test("a connection whose client has ended is closed", async () => {
  const { port } = await listening({});
  const { socket, closed, send } = await rawClient(port);
  await send(clientBegins);
  await once(socket, "data");
  socket.end();
  await closed;
});

describe("a connection that has become old", () => {
  test("gets GOAWAY, and its calls end well", async () => {
    const answers: (() => void)[] = [];
    const limits = { maxConnectionAgeMs: 100, requestTimeoutMs: 50 };
    const { port } = await listening(limits, (_, response) => {
      answers.push(() => (response as http.ServerResponse).end("answered"));
    });
    const session = session2(port);
    const call = over2(session);
    const [code] = await once(session, "goaway");
    expect(code).toBe(0);
    answers[0]?.();
    expect(await call).toBe(200);
    await expect.poll(() => session.destroyed).toBe(true);
  });

  test("is cut off when its calls do not end", async () => {
    const limits = { maxConnectionAgeMs: 100, maxConnectionAgeGraceMs: 100, requestTimeoutMs: 50 };
    const { port } = await listening(limits, () => {});
    const session = session2(port);
    expect(await over2(session)).not.toBe(200);
    expect(session.destroyed).toBe(true);
  });

  test("of HTTP/1.1 ends with its next answer", async () => {
    const { port } = await listening({ maxConnectionAgeMs: 200 });
    await expect.poll(async () => (await over1(port)).headers.get("connection")).toBe("close");
    const { port: other } = await listening({ maxConnectionAgeMs: 60_000 });
    expect((await over1(other)).headers.get("connection")).toBe("keep-alive");
  });
});

describe("a connection that is silent", () => {
  test("of HTTP/2 ends after the time that is set", async () => {
    const { port } = await listening({ idleTimeoutMs: 50 });
    const session = session2(port);
    expect(await over2(session)).toBe(200);
    const [code] = await once(session, "goaway");
    expect(code).toBe(http2.constants.NGHTTP2_NO_ERROR);
  });

  test("of HTTP/1.1 ends after the time that is set", async () => {
    const { port } = await listening({ idleTimeoutMs: 50 });
    const connection = await rawConnection(port);
    connection.write("GET / HTTP/1.1\r\nhost: longhaul\r\n\r\n");
    connection.resume();
    await once(connection, "end");
  });

  test("of HTTP/1.1 stays until then, and says until when", async () => {
    const { port } = await listening({ idleTimeoutMs: 60_000, headersTimeoutMs: 50, requestTimeoutMs: 50 });
    const connection = (await rawConnection(port)).setEncoding("utf8");
    for (const silenceMs of [0, 500]) {
      await pause(silenceMs);
      connection.write("GET / HTTP/1.1\r\nhost: longhaul\r\n\r\n");
      const [answer] = await once(connection, "data");
      expect(answer).toMatch(/^HTTP\/1.1 200 .*keep-alive: timeout=60\r\n/is);
    }
  });
});

describe("draining", () => {
  test("sends connections away, serves what is under way and takes new ones", async () => {
    const { port, drain, stopAccepting } = await listening({});
    const session = session2(port);
    expect(await over2(session)).toBe(200);
    drain();
    await once(session, "close");
    expect((await over1(port)).headers.get("connection")).toBe("close");
    expect(await over2(session2(port))).toBe(200);
    stopAccepting();
    await expect(over1(port)).rejects.toThrow();
  });

  test("loses no call of a client that goes on calling: what it refuses, it says so", async () => {
    const { port, drain } = await listening({});
    const session = session2(port);
    await once(session, "connect");
    const calls = Array.from({ length: 50 }, () => over2(session));
    drain();
    const answers = await Promise.all(calls);
    expect(answers.filter((answer) => answer !== 200 && !String(answer).includes("REFUSED_STREAM"))).toEqual([]);
  });
});
