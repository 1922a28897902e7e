import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createCertificateAuthority } from "../support/certificates.ts";
import { anySeed } from "../support/random.ts";
import { spawnServer } from "../support/spawned-server.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import type { TestSettings } from "../support/test-config.ts";
import { tlsDirectory } from "../support/tls-directory.ts";
import { describeHarm, type Harm, harmOf } from "./abused-server.ts";
import {
  bomb,
  createPath,
  endlessHeaders,
  getPath,
  manyStreams,
  nestedRequests,
  post,
  rapidResets,
  type SlowManner,
  type Target,
  trickle,
} from "./attacks.ts";
import { grpcMessage } from "./http2-frames.ts";
import { sendMutatedRequests } from "./mutation-run.ts";

/** What the service promises is 200 ms; a busy machine that also runs the attack may take longer. */
const p99LimitMs = 2_000;
const memoryLimitMib = 100;

/** Attacks a server process of its own, and holds what every attack has to leave whole. */
async function attack(
  what: string,
  { settings = {}, isSecure = false }: { readonly settings?: TestSettings; readonly isSecure?: boolean },
  run: (target: Target) => Promise<void>,
): Promise<Harm> {
  const directory = await temporaryDirectory();
  let ca: string | undefined;
  let more: TestSettings = settings;
  if (isSecure) {
    const authority = await createCertificateAuthority();
    ca = authority.cert;
    more = { ...settings, ...(await tlsDirectory(await authority.issue())).settings };
  }
  const server = await spawnServer(directory, more);
  onTestFinished(async () => {
    server.kill("SIGKILL");
    await server.exited;
  });
  const harm = await harmOf(server, () => run({ port: server.port, ca }), ca);
  process.stderr.write(`${describeHarm(`${what}${isSecure ? ", TLS" : ""}`, harm)}\n`);
  expect(harm.healthyFailures).toEqual([]);
  expect(harm.healthyCalls).toBeGreaterThan(0);
  expect(harm.p99Ms).toBeLessThan(p99LimitMs);
  expect(harm.peakMib - harm.beforeMib).toBeLessThan(memoryLimitMib);
  return harm;
}

const secureOrNot = [{ isSecure: false }, { isSecure: true }];

describe("a server stands", { timeout: 120_000 }, () => {
  let packed: Buffer;
  beforeAll(async () => {
    packed = await bomb(400 * 1024 * 1024);
  });

  test("bodies that unpack to 400 MiB, in every protocol", async () => {
    await attack("decompression bomb", {}, async (target) => {
      const grpc = () =>
        post(
          target,
          getPath,
          { "content-type": "application/grpc", "grpc-encoding": "gzip" },
          grpcMessage(packed, true),
        );
      const web = () =>
        post(
          target,
          getPath,
          { "content-type": "application/grpc-web+proto", "grpc-encoding": "gzip" },
          grpcMessage(packed, true),
        );
      const connect = (type: string) =>
        post(target, getPath, { "content-type": type, "content-encoding": "gzip" }, packed);
      for (let round = 0; round < 5; round++) {
        const [first, second, third, fourth] = await Promise.all([
          grpc(),
          web(),
          connect("application/proto"),
          connect("application/json"),
        ]);
        expect(first).toEqual({ httpStatus: 200, grpcStatus: 8 });
        expect(second.httpStatus).toBe(200);
        expect(third?.httpStatus).toBe(429);
        expect(fourth?.httpStatus).toBe(429);
      }
    });
  });

  test.each(secureOrNot)("20,000 calls that are abandoned at once (TLS: $isSecure)", async ({ isSecure }) => {
    await attack("rapid resets", { isSecure }, async (target) => {
      expect(await rapidResets(target, 20_000)).toBeGreaterThan(0);
    });
  });

  test("headers without an end, too long and too many", async () => {
    await attack("header flood", {}, async (target) => {
      expect(await endlessHeaders(target, 50, 1_000)).toBe(50);
      const long = { "content-type": "application/grpc", "x-long": "x".repeat(20_000) };
      const many = Object.fromEntries(Array.from({ length: 120 }, (_, index) => [`x-${index}`, "y"]));
      for (let round = 0; round < 100; round++) {
        expect((await post(target, getPath, long, grpcMessage(Buffer.alloc(0)))).httpStatus).toBe(431);
        const { httpStatus } = await post(
          target,
          getPath,
          { "content-type": "application/grpc", ...many },
          Buffer.alloc(0),
        );
        expect([0, 431]).toContain(httpStatus);
      }
      const over1 = await fetch(`http://127.0.0.1:${target.port}${getPath}`, { method: "POST", headers: many });
      expect(over1.status).toBe(431);
    });
  });

  test.each(secureOrNot)("1,000 slow senders (TLS: $isSecure)", async ({ isSecure }) => {
    const settings = { headersTimeoutMs: 1_500, requestTimeoutMs: 3_000 };
    const manners: readonly SlowManner[] = [
      "silence",
      "headers1",
      "body1",
      "headers2",
      "body2",
      ...(isSecure ? ["handshake" as const] : []),
    ];
    await attack("slow senders", { settings, isSecure }, async (target) => {
      const each = Math.floor(1_000 / manners.length);
      const times = await Promise.all(
        manners.flatMap((manner) => Array.from({ length: each }, () => trickle(target, manner, 250))),
      );
      expect(times).toHaveLength(each * manners.length);
    });
  });

  test.each(secureOrNot)("20,000 streams on few connections (TLS: $isSecure)", async ({ isSecure }) => {
    await attack("20,000 streams", { isSecure }, async (target) => {
      for (let round = 0; round < 5; round++) {
        expect(await manyStreams(target, 4, 5_000)).toBe(4);
      }
    });
  });

  test("values that are nested without end", async () => {
    await attack("deep nesting", {}, async (target) => {
      const { json, grpc } = nestedRequests(200_000);
      for (let round = 0; round < 5; round++) {
        for (const body of json) {
          expect((await post(target, createPath, { "content-type": "application/json" }, body)).httpStatus).toBe(400);
        }
        for (const body of grpc) {
          expect((await post(target, createPath, { "content-type": "application/grpc" }, body)).grpcStatus).toBe(3);
        }
      }
    });
  });

  test("requests that are almost right", async () => {
    const seed = anySeed();
    await attack(`mutated requests of seed ${seed}`, {}, async ({ port }) => {
      const { answered, reset, lost } = await sendMutatedRequests({
        url: `http://127.0.0.1:${port}`,
        seed,
        requests: 5_000,
      });
      expect(answered + reset + lost).toBe(5_000);
      expect(answered).toBeGreaterThan(4_000);
    });
  });
});
