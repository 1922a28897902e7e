import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { describe, expect, onTestFinished, test } from "vitest";
import { freePort } from "./free-port.ts";
import { rawConnection } from "./raw-connection.ts";
import { startScriptedHost } from "./scripted-host.ts";
import { startTcpProxy, type TcpProxy } from "./tcp-proxy.ts";
import { connectTestClient } from "./test-client.ts";

/** Long enough for what would arrive to have arrived. */
const quietMs = 150;

/** Waits long enough for a busy machine. */
function eventually<T>(read: () => T) {
  return expect.poll(read, { timeout: 20_000, interval: 10 });
}

/** One end of a connection, and what it has seen. */
interface End {
  readonly socket: Socket;
  text: string;
  ended: boolean;
  /** The code of an error, or "closed"; undefined while the connection is there. */
  closed: string | undefined;
}

function observe(socket: Socket): End {
  const end: End = { socket, text: "", ended: false, closed: undefined };
  socket.on("data", (chunk) => {
    end.text += chunk.toString("latin1");
  });
  socket.on("end", () => {
    end.ended = true;
  });
  socket.on("error", (error: NodeJS.ErrnoException) => {
    end.closed = error.code;
  });
  socket.on("close", () => {
    end.closed ??= "closed";
  });
  return end;
}

/** A proxy in front of a server that shows each connection it gets; both end with the running test. */
async function startProxied(): Promise<{ proxy: TcpProxy; targets: End[] }> {
  const targets: End[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => targets.push(observe(socket)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy = await startTcpProxy((server.address() as AddressInfo).port);
  onTestFinished(async () => {
    await proxy.close();
    for (const { socket } of targets) {
      socket.destroy();
    }
    server.close();
  });
  return { proxy, targets };
}

/** A connection through the proxy that has been used in both directions. */
async function startConnected(): Promise<{ proxy: TcpProxy; targets: End[]; client: End; target: End }> {
  const { proxy, targets } = await startProxied();
  const client = observe(await rawConnection(proxy.port));
  client.socket.write("hello");
  await eventually(() => targets[0]?.text).toBe("hello");
  const [target] = targets as [End];
  target.socket.write("welcome");
  await eventually(() => client.text).toBe("welcome");
  return { proxy, targets, client, target };
}

describe("a proxy that passes everything", () => {
  test("hands data on both ways and counts it", async () => {
    const { proxy } = await startConnected();
    await rawConnection(proxy.port);
    await eventually(() => proxy.accepted).toBe(2);
    expect(proxy).toMatchObject({ bytesToTarget: 5, bytesToClient: 7, url: `http://127.0.0.1:${proxy.port}` });
  });

  test("hands the end of one direction on, and the other one goes on", async () => {
    const { client, target } = await startConnected();
    client.socket.end("bye");
    await eventually(() => target).toMatchObject({ text: "hellobye", ended: true });
    target.socket.write(", and good luck");
    await eventually(() => client.text).toBe("welcome, and good luck");
    expect([client.ended, target.closed]).toEqual([false, undefined]);
    target.socket.end();
    await eventually(() => [client.closed, target.closed]).toEqual(["closed", "closed"]);
  });

  test("hands a reset on", async () => {
    const { client, target } = await startConnected();
    target.socket.resetAndDestroy();
    await eventually(() => client.closed).toBe("ECONNRESET");
  });

  test("resets a connection for which there is no target", async () => {
    await using proxy = await startTcpProxy(await freePort());
    const client = observe(await rawConnection(proxy.port));
    await eventually(() => client.closed).toBe("ECONNRESET");
  });

  test("does not read ahead of a slow receiver", async () => {
    const { proxy, client, target } = await startConnected();
    target.socket.pause();
    const block = Buffer.alloc(1024 * 1024, "x");
    // More than the operating system keeps for the two connections.
    const blocks = 192;
    for (let count = 0; count < blocks; count++) {
      client.socket.write(block);
    }
    let before = -1;
    while (before !== proxy.bytesToTarget) {
      before = proxy.bytesToTarget;
      await delay(quietMs);
    }
    expect(before).toBeLessThan((blocks - 32) * block.length);
    expect(client.socket.writableLength).toBeGreaterThan(16 * block.length);

    target.socket.removeAllListeners("data");
    let received = 0;
    target.socket.on("data", (chunk) => {
      received += chunk.length;
    });
    target.socket.resume();
    await eventually(() => received).toBe(blocks * block.length);
  });
});

describe("a proxy that delays", () => {
  test("delivers everything later, in its order, with the end behind it", async () => {
    const { proxy, client, target } = await startConnected();
    proxy.setMode({ delayMs: 200 });
    const sentAt = performance.now();
    const arrived = Promise.withResolvers<number>();
    target.socket.once("data", () => arrived.resolve(performance.now()));
    let expected = "hello";
    for (let count = 0; count < 50; count++) {
      client.socket.write(`${count},`);
      expected += `${count},`;
      await delay(1);
    }
    client.socket.end();
    expect((await arrived.promise) - sentAt).toBeGreaterThanOrEqual(200);
    await eventually(() => target).toMatchObject({ text: expected, ended: true });

    const answeredAt = performance.now();
    target.socket.write("!");
    await once(client.socket, "data");
    expect(performance.now() - answeredAt).toBeGreaterThanOrEqual(200);
  });

  test("delivers at once what is on its way when it passes again", async () => {
    const { proxy, client, target } = await startConnected();
    proxy.setMode({ delayMs: 60_000 });
    client.socket.write(" again");
    const late = observe(await rawConnection(proxy.port));
    late.socket.write("late");
    await delay(quietMs);
    expect(target.text).toBe("hello");
    proxy.setMode("pass");
    await eventually(() => target.text).toBe("hello again");
  });
});

test("a proxy that resets does so to connections that are open and to new ones, until it passes again", async () => {
  const { proxy, targets, client, target } = await startConnected();
  proxy.setMode("black-hole");
  const held = observe(await rawConnection(proxy.port));
  await eventually(() => proxy.accepted).toBe(2);
  proxy.setMode("reset");
  await eventually(() => [client.closed, target.closed]).toEqual(["ECONNRESET", "ECONNRESET"]);
  await eventually(() => held.closed).toBe("ECONNRESET");
  const refused = observe(connect(proxy.port, "127.0.0.1"));
  await eventually(() => refused.closed).toBe("ECONNRESET");
  expect([proxy.accepted, targets.length]).toEqual([2, 1]);

  proxy.setMode("pass");
  const next = observe(await rawConnection(proxy.port));
  next.socket.write("once more");
  await eventually(() => targets[1]?.text).toBe("once more");
  expect(next.closed).toBeUndefined();
});

describe("a black hole", () => {
  test("lets nothing through, and everything late but without a gap when it passes again", async () => {
    const { proxy, targets, client, target } = await startConnected();
    proxy.setMode("black-hole");
    client.socket.write(" from afar");
    target.socket.write(" back");
    const late = observe(await rawConnection(proxy.port));
    late.socket.write("late");
    await delay(quietMs);
    expect([client.text, target.text, targets.length]).toEqual(["welcome", "hello", 1]);
    expect([client.closed, target.closed, late.closed]).toEqual([undefined, undefined, undefined]);

    proxy.setMode("pass");
    client.socket.write("!");
    await eventually(() => [client.text, target.text]).toEqual(["welcome back", "hello from afar!"]);
    await eventually(() => targets[1]?.text).toBe("late");
  });

  test.each([
    ["an end", (socket: Socket) => socket.end(), "closed"],
    ["a reset", (socket: Socket) => socket.resetAndDestroy(), "ECONNRESET"],
  ])("tells nobody of %s before it passes again", async (_, close, seen) => {
    const { proxy, client, target } = await startConnected();
    target.socket.on("end", () => target.socket.end());
    proxy.setMode("black-hole");
    close(client.socket);
    await delay(quietMs);
    expect(target).toMatchObject({ ended: false, closed: undefined });
    proxy.setMode("pass");
    await eventually(() => target.closed).toBe(seen);
  });

  test("stalls a sender, and loses nothing of what it sends", async () => {
    const { proxy, client, target } = await startConnected();
    proxy.setMode("black-hole");
    let sent = "";
    for (let count = 0; sent.length < 48 * 1024 * 1024; count++) {
      const block = `${count}`.padEnd(64 * 1024, "-");
      client.socket.write(block);
      sent += block;
    }
    await delay(quietMs);
    expect(target.text).toBe("hello");
    expect(client.socket.writableLength).toBeGreaterThan(0);
    proxy.setMode("pass");
    await eventually(() => target.text.length).toBe(5 + sent.length);
    expect(target.text === `hello${sent}`).toBe(true);
  });
});

describe("a half-open proxy", () => {
  test("lets requests through and no answers", async () => {
    const { proxy, targets, client, target } = await startConnected();
    proxy.setMode("to-target-only");
    client.socket.write(" there");
    target.socket.write(" lost");
    const late = observe(await rawConnection(proxy.port));
    late.socket.write("late");
    await eventually(() => [target.text, targets[1]?.text]).toEqual(["hello there", "late"]);
    target.socket.resetAndDestroy();
    await delay(quietMs);
    expect([client.text, client.closed]).toEqual(["welcome", undefined]);
    proxy.setMode("pass");
    await eventually(() => client.closed).toBe("ECONNRESET");
  });

  test("lets answers through and no requests", async () => {
    const { proxy, targets, client, target } = await startConnected();
    proxy.setMode("to-client-only");
    client.socket.write(" lost");
    target.socket.write(" news");
    const late = observe(await rawConnection(proxy.port));
    late.socket.write("late");
    await eventually(() => client.text).toBe("welcome news");
    await delay(quietMs);
    expect([target.text, targets.length]).toEqual(["hello", 1]);
    proxy.setMode("pass");
    await eventually(() => [target.text, targets[1]?.text]).toEqual(["hello lost", "late"]);
  });
});

test("a closed proxy leaves no connection, and its port is free", async () => {
  const { proxy, client, target } = await startConnected();
  proxy.setMode("black-hole");
  await Promise.all([proxy.close(), proxy.close()]);
  await eventually(() => [client.closed, target.closed]).toEqual(["ECONNRESET", "ECONNRESET"]);
  await expect(rawConnection(proxy.port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
});

test("gRPC calls see a partition, and work on a new connection after it", async () => {
  const host = await startScriptedHost({
    getOperation: ({ operationId }) => ({ operation: { operationId } }),
  });
  await using proxy = await startTcpProxy(Number(new URL(host.url).port));
  const client = connectTestClient(proxy.url);
  const get = (timeoutMs = 10_000) => client.getOperation({ operationId: "op_1" }, { timeoutMs });
  await expect(get()).resolves.toMatchObject({ operation: { operationId: "op_1" } });

  proxy.setMode("black-hole");
  await expect(get(300)).rejects.toMatchObject({ code: Code.DeadlineExceeded });
  expect(host.calls()).toBe(1);

  proxy.setMode("to-target-only");
  const lost = get();
  await eventually(() => host.calls()).toBeGreaterThanOrEqual(2);
  const cut = expect(lost).rejects.toMatchObject({ code: Code.Unavailable });
  proxy.setMode("reset");
  await cut;
  await expect(get()).rejects.toMatchObject({ code: Code.Unavailable });
  expect(proxy.accepted).toBe(1);

  proxy.setMode("pass");
  await eventually(() => get().then(({ operation }) => operation?.operationId, String)).toBe("op_1");
  expect(proxy.accepted).toBe(2);
});
