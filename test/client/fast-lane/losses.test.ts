import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { startTcpProxy } from "../../support/tcp-proxy.ts";
import { answer, type Script, startRawHost } from "./raw-host.ts";
import { byBothWays, callerOf, good } from "./two-ways.ts";

describe("a call whose host goes away", () => {
  test.each<[string, Script]>([
    ["refuses the stream", (stream, { nth }) => (nth === 1 ? stream.close(7) : answer(stream))],
    [
      "has sent GOAWAY before the call arrived",
      (stream, { nth }) => {
        if (nth === 1) {
          stream.session?.goaway(0, 1);
        } else {
          answer(stream);
        }
      },
    ],
    [
      "sends GOAWAY and answers",
      (stream) => {
        stream.session?.goaway(0, stream.id);
        answer(stream);
      },
    ],
  ])("is answered all the same when it %s", async (_, script) => {
    const { grpcJs, fastLane } = await byBothWays(script);
    expect(fastLane).toEqual(good);
    expect(grpcJs).toEqual(good);
  });

  test("is UNAVAILABLE when the host is killed, in the middle of it and from then on", async () => {
    for (const way of ["grpc-js", "fast lane"] as const) {
      const host = await startRawHost();
      const caller = await callerOf(host, way);
      const arrived = Promise.withResolvers<void>();
      host.play(() => arrived.resolve());
      const call = caller.get();
      await arrived.promise;
      await host.kill();
      expect(await call).toMatchObject({ code: Code.Unavailable });
      expect(await caller.get()).toMatchObject({ code: Code.Unavailable });
    }
  });

  test("is made again when only the connection is lost", async () => {
    const host = await startRawHost();
    const caller = await callerOf(host, "fast lane");
    host.play((stream, { nth }) => (nth === 1 ? stream.session?.destroy() : answer(stream)));
    expect(await caller.get()).toEqual(good);
    expect(host.arrived.map(({ way }) => way)).toEqual(["fast lane", "grpc-js"]);
    // And the lane has a new connection soon.
    await expect.poll(async () => (await caller.get()) && host.arrived.at(-1)?.way).toBe("fast lane");
  });

  test.each([0, 2, 11])(
    "is answered while connections end by GOAWAY with code %d at every other call",
    async (code) => {
      const host = await startRawHost();
      const caller = await callerOf(host, "fast lane");
      host.play((stream, { nth, way }) => {
        if (way === "fast lane" && nth % 2 === 0) {
          stream.session?.goaway(code, 1);
        } else {
          answer(stream);
        }
      });
      for (let call = 0; call < 50; call++) {
        expect(await caller.get()).toEqual(good);
      }
    },
  );
});

describe("a call that nobody answers", () => {
  test("is DEADLINE_EXCEEDED at its time, and tells the host how long that is", async () => {
    const { grpcJs, fastLane } = await byBothWays(
      () => {},
      () => ({ timeoutMs: 100 }),
    );
    expect(fastLane).toMatchObject({ code: Code.DeadlineExceeded });
    expect(grpcJs).toMatchObject({ code: Code.DeadlineExceeded });
    const host = await startRawHost();
    const caller = await callerOf(host, "fast lane");
    host.play((stream) => answer(stream));
    await caller.get({ timeoutMs: 1_234 });
    expect(host.arrived[0]).toMatchObject({ way: "fast lane", headers: { "grpc-timeout": "1234m" } });
  });

  test("is CANCELED when its signal aborts, and the host learns of it", async () => {
    const host = await startRawHost();
    const caller = await callerOf(host, "fast lane");
    const arrived = Promise.withResolvers<void>();
    const reset = Promise.withResolvers<number>();
    host.play((stream) => {
      stream.on("close", () => reset.resolve(stream.rstCode ?? 0));
      arrived.resolve();
    });
    const controller = new AbortController();
    const call = caller.get({ signal: controller.signal });
    await arrived.promise;
    controller.abort();
    expect(await call).toMatchObject({ code: Code.Canceled });
    expect(await reset.promise).toBe(8);
    expect(await caller.get({ signal: AbortSignal.abort() })).toMatchObject({ code: Code.Canceled });
  });

  test("is UNAVAILABLE when the client is closed, which ends all connections", async () => {
    const host = await startRawHost();
    const caller = await callerOf(host, "fast lane");
    const arrived = Promise.withResolvers<void>();
    host.play(() => arrived.resolve());
    const call = caller.get();
    await arrived.promise;
    caller.close();
    caller.close();
    expect(await call).toMatchObject({ code: Code.Unavailable });
    expect(await caller.get()).toMatchObject({ code: Code.Unavailable });
    await expect.poll(() => host.connections).toBe(0);
  });

  test("keeps others off its connection until that has answered a ping", async () => {
    const host = await startRawHost();
    await using proxy = await startTcpProxy(host.port);
    const caller = await callerOf(host, "fast lane", { baseUrl: proxy.url });
    host.play((stream) => answer(stream));
    proxy.setMode("black-hole");
    expect(await caller.get({ timeoutMs: 50 })).toMatchObject({ code: Code.DeadlineExceeded });
    expect(await caller.get({ timeoutMs: 50 })).toMatchObject({ code: Code.DeadlineExceeded });
    expect(host.arrived).toEqual([]);
    proxy.setMode("pass");
    await expect.poll(() => host.arrived.map(({ way }) => way).sort()).toEqual(["fast lane", "grpc-js"]);
    await expect.poll(async () => (await caller.get()) && host.arrived.at(-1)?.way).toBe("fast lane");
    expect(host.connections).toBe(2);
  });
});
