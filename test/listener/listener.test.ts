import { once } from "node:events";
import type * as http from "node:http";
import * as http2 from "node:http2";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Listener, listen } from "../../src/listener/listener.ts";
import type { RequestHandler } from "../../src/listener/request-handler.ts";
import { rawConnection } from "../support/raw-connection.ts";

const options = { host: "127.0.0.1", port: 0, maxConcurrentStreams: 8 };

/** Answers with the HTTP version of the request. */
const tellVersion: RequestHandler = (request, response) => {
  (response as http.ServerResponse).end(request.httpVersion);
};

async function listening(handler: RequestHandler = tellVersion): Promise<Listener> {
  const listener = await listen(handler, options);
  onTestFinished(() => listener.close(0));
  return listener;
}

async function over1(port: number): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}/`)).text();
}

async function over2(port: number): Promise<string> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const stream = session.request({ ":path": "/" });
  const text = Buffer.concat(await stream.toArray()).toString();
  session.close();
  return text;
}

describe("the first bytes decide", () => {
  test("between HTTP/1.1 and HTTP/2 on one port", async () => {
    const { port } = await listening();
    expect(await over1(port)).toBe("1.1");
    expect(await over2(port)).toBe("2.0");
  });

  test("also when they come one by one", async () => {
    const { port } = await listening();
    const socket = await rawConnection(port);
    const answer = once(socket, "data");
    for (const byte of "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n") {
      socket.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(String((await answer)[0])).toMatch(/^HTTP\/1\.1 200 OK/);
    const preface = await rawConnection(port);
    const settings = once(preface, "data");
    for (const byte of Buffer.concat([
      Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
      Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
    ])) {
      preface.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    // A SETTINGS frame: type 4.
    expect(((await settings)[0] as Buffer)[3]).toBe(4);
  });

  test("and nonsense is refused without harm to the others", async () => {
    const { port } = await listening();
    for (const nonsense of [
      "\0\0\0\0",
      "PRI nonsense\r\n\r\nnonsense, and more of it",
      "PUT\r\n\r\n",
      "\x16\x03\x01\x02\x00",
    ]) {
      const socket = await rawConnection(port);
      socket.resume();
      const closed = once(socket, "close");
      socket.end(nonsense);
      await closed;
    }
    expect(await over1(port)).toBe("1.1");
    expect(await over2(port)).toBe("2.0");
  });

  test("and clients that leave before they are through do no harm", async () => {
    const { port } = await listening();
    for (const bytes of ["", "P", "PRI", "PRI * HTTP/2.0\r\n\r\n", "GET / HT"]) {
      const socket = await rawConnection(port);
      socket.write(bytes);
      socket.resetAndDestroy();
    }
    expect(await over1(port)).toBe("1.1");
    expect(await over2(port)).toBe("2.0");
  });
});

test("HTTP/1.1 headers over 16 KiB are refused", async () => {
  const { port } = await listening();
  const long = { "x-long": "x".repeat(20_000) };
  expect((await fetch(`http://127.0.0.1:${port}/`, { headers: long })).status).toBe(431);
});

describe("closing", () => {
  test("ends idle connections at once and lets a call that is under way end", async () => {
    const waiting: (() => void)[] = [];
    const listener = await listening((_, response) => {
      waiting.push(() => (response as http.ServerResponse).end("answered"));
    });
    const { port } = listener;
    const silent = await rawConnection(port);
    const [first, second] = [over1(port), over2(port)];
    await expect.poll(() => waiting.length).toBe(2);
    const closed = listener.close(60_000);
    for (const answer of waiting) {
      answer();
    }
    expect(await Promise.all([first, second])).toEqual(["answered", "answered"]);
    await closed;
    expect(silent.readableEnded || silent.destroyed).toBe(true);
  });

  test("cuts off what is still open after the grace period", async () => {
    const listener = await listening(() => {});
    const { port } = listener;
    const sockets = await Promise.all([rawConnection(port), rawConnection(port), rawConnection(port)]);
    sockets[1]?.write("PRI");
    const call = over1(port).then(
      () => "answered",
      () => "cut off",
    );
    const session = http2.connect(`http://127.0.0.1:${port}`);
    session.on("error", () => {});
    const stream = session.request({ ":path": "/" });
    stream.on("error", () => {});
    await once(session, "connect");
    await listener.close(50);
    expect(await call).toBe("cut off");
    await expect.poll(() => stream.closed || stream.destroyed).toBe(true);
    await expect(rawConnection(port)).rejects.toThrow("ECONNREFUSED");
  });

  test("is safe to repeat", async () => {
    const listener = await listening();
    await Promise.all([listener.close(10), listener.close(10)]);
    await listener.close(10);
  });
});

test("a port that is in use is named", async () => {
  const { port } = await listening();
  await expect(listen(tellVersion, { ...options, port })).rejects.toThrow(
    `cannot listen on 127.0.0.1:${port}: the port is in use`,
  );
});
