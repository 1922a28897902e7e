import { once } from "node:events";
import * as http2 from "node:http2";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { buildFailingDisk, type DiskMode, type FailingDisk } from "../support/failing-disk.ts";
import { connectHealthClient } from "../support/health-client.ts";
import { frame } from "../support/raw-rpc.ts";
import { startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { startTestReplicas } from "../support/test-replicas.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";

const operations = "longhaul.v1.OperationsService";
const health = "grpc.health.v1.Health";
const server = () => startTestServer({ orchestrators: [new TestServices()] });

describe("a server that is well", () => {
  test("is serving, as a whole and with each of its services", async () => {
    const { url } = await server();
    const client = connectHealthClient(url);
    expect(await client.check("")).toBe("SERVING");
    expect(await client.check(operations)).toBe("SERVING");
    expect(await client.list()).toEqual({
      "": "SERVING",
      [operations]: "SERVING",
      [health]: "SERVING",
      "google.longrunning.Operations": "SERVING",
      "grpc.reflection.v1.ServerReflection": "SERVING",
      "grpc.reflection.v1alpha.ServerReflection": "SERVING",
    });
  });

  test("does not know of services it has not: NOT_FOUND to who checks, a status to who watches", async () => {
    const { url } = await server();
    const client = connectHealthClient(url);
    await expect(client.check("longhaul.v1.Operations")).rejects.toMatchObject({
      code: status.NOT_FOUND,
      details: 'there is no service "longhaul.v1.Operations"',
    });
    expect(await client.watch("longhaul.v1.Operations")()).toBe("SERVICE_UNKNOWN");
  });

  test("says so to curl as well", async () => {
    const { url } = await server();
    const check = async (service: string) => {
      const answer = await fetch(`${url}/${health}/Check`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ service }),
      });
      return answer.json();
    };
    expect(await check("")).toEqual({ status: "SERVING" });
    expect(await check("x")).toMatchObject({
      code: "not_found",
      details: [
        { debug: { reason: "SERVICE_NOT_FOUND" } },
        { debug: { resourceType: "gRPC service", resourceName: "x" } },
      ],
    });
  });
});

test("a server that stops says so to who watches before it ends the streams, and is quick about it", async () => {
  const { url, stop } = await server();
  const next = connectHealthClient(url).watch("");
  expect(await next()).toBe("SERVING");
  const stopped = stop();
  expect(await next()).toBe("NOT_SERVING");
  await expect(next()).rejects.toMatchObject({ code: status.UNAVAILABLE, details: "the server is stopping" });
  await stopped;
});

test("a stream ends with its deadline, as gRPC has it", async () => {
  const { url } = await server();
  const session = http2.connect(url);
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ":method": "POST",
    ":path": `/${health}/Watch`,
    "content-type": "application/grpc",
    "grpc-timeout": "100m",
    te: "trailers",
  });
  stream.end(frame(new Uint8Array()));
  stream.resume();
  const [trailers] = (await once(stream, "trailers")) as [http2.IncomingHttpHeaders];
  expect(trailers["grpc-status"]).toBe(String(status.DEADLINE_EXCEEDED));
  expect(trailers["grpc-status-details-bin"]).toBeDefined();
});

test("streams are bounded, and one that is given up makes room for another", async () => {
  const { url } = await startTestServer({ settings: { maxConcurrentStreams: 2_000 } });
  const session = http2.connect(url);
  onTestFinished(() => session.destroy());
  const watch = () => {
    const stream = session.request({
      ":method": "POST",
      ":path": `/${health}/Watch`,
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("error", () => {});
    stream.end(frame(new Uint8Array()));
    return stream;
  };
  await once(session, "remoteSettings");
  const open = Array.from({ length: 1_000 }, watch);
  await Promise.all(open.map((stream) => once(stream, "data")));
  const client = connectHealthClient(url);
  await expect(client.watch("")()).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
  open[0]?.close(http2.constants.NGHTTP2_CANCEL);
  // The server hears of it a moment later.
  await expect
    .poll(
      () =>
        client
          .watch("")()
          .catch(() => "refused"),
      { timeout: 10_000 },
    )
    .toBe("SERVING");
});

describe("a server whose disk fails", () => {
  let disk: FailingDisk | undefined;
  let unavailable = "";
  beforeAll(async () => {
    const built = await buildFailingDisk();
    if ("unavailable" in built) {
      unavailable = built.unavailable;
      process.stderr.write(`health.test.ts: not run, ${unavailable}\n`);
    } else {
      disk = built;
    }
  });
  afterAll(() => disk?.remove());

  test.for<DiskMode>(["full", "fsync-fails"])(
    "is not serving until the disk is well again; but it lives all the while: %s",
    { timeout: 60_000 },
    async (mode, { skip }) => {
      if (!disk) {
        return skip(unavailable);
      }
      disk.setMode("healthy");
      const dataDir = await temporaryDirectory();
      const { url, client } = await startServerProcess(dataDir, {}, disk.environmentFor(dataDir));
      const healthClient = connectHealthClient(url);
      const [whole, service, itself] = ["", operations, health].map((name) => healthClient.watch(name));
      const next = () => Promise.all([whole?.(), service?.()]);
      expect(await next()).toEqual(["SERVING", "SERVING"]);
      expect(await itself?.()).toBe("SERVING");
      disk.setMode(mode);
      await client.createOperation({ operationType: "training" }).catch(() => {});
      expect(await next()).toEqual(["NOT_SERVING", "NOT_SERVING"]);
      expect(await healthClient.check("")).toBe("NOT_SERVING");
      expect(await healthClient.check(health)).toBe("SERVING");
      disk.setMode("healthy");
      expect(await next()).toEqual(["SERVING", "SERVING"]);
    },
  );
});

test("a server whose database goes away is not serving until it is back, although nobody calls", {
  timeout: 60_000,
}, async () => {
  const { database, replicas } = await startTestReplicas(1, { databaseTimeoutMs: 1_000 });
  const client = connectHealthClient(replicas[0]?.url ?? "");
  const next = client.watch("");
  expect(await next()).toBe("SERVING");
  await database.kill();
  expect(await next()).toBe("NOT_SERVING");
  expect(await client.check(health)).toBe("SERVING");
  await database.start();
  expect(await next()).toBe("SERVING");
});
