import assert from "node:assert/strict";
import type { TestSettings } from "../support/test-config.ts";
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

/** Something that a server has to bear. */
export interface Attack {
  readonly name: string;
  /** Whether it is over TLS. Default false. */
  readonly isSecure?: boolean;
  readonly settings?: TestSettings;
  /** Rejects when the server does not answer as it should. */
  readonly run: (target: Target) => Promise<void>;
}

const slowManners: readonly SlowManner[] = ["silence", "headers1", "body1", "headers2", "body2"];

/** All attacks but mutated requests, of which there can be any number. */
export const attackSet: readonly Attack[] = [
  { name: "bodies that unpack to 400 MiB, in every protocol", run: unpackBombs },
  ...inPlaintextAndOverTls({ name: "20,000 calls that are abandoned at once", run: abandonCalls }),
  { name: "headers without an end, too long and too many", run: floodHeaders },
  ...inPlaintextAndOverTls({
    name: "1,000 slow senders",
    settings: { headersTimeoutMs: 1_500, requestTimeoutMs: 3_000 },
    run: sendSlowly,
  }),
  ...inPlaintextAndOverTls({ name: "20,000 streams on few connections", run: openStreams }),
  { name: "values that are nested without end", run: nestValues },
];

function inPlaintextAndOverTls(attack: Attack): readonly Attack[] {
  return [attack, { ...attack, name: `${attack.name}, TLS`, isSecure: true }];
}

let madeBomb: Promise<Buffer> | undefined;

async function unpackBombs(target: Target): Promise<void> {
  madeBomb ??= bomb(400 * 1024 * 1024);
  const packed = await madeBomb;
  const grpc = (type: string) =>
    post(target, getPath, { "content-type": type, "grpc-encoding": "gzip" }, grpcMessage(packed, true));
  const connect = (type: string) => post(target, getPath, { "content-type": type, "content-encoding": "gzip" }, packed);
  for (let round = 0; round < 5; round++) {
    const [first, second, third, fourth] = await Promise.all([
      grpc("application/grpc"),
      grpc("application/grpc-web+proto"),
      connect("application/proto"),
      connect("application/json"),
    ]);
    assert.deepEqual(first, { httpStatus: 200, grpcStatus: 8 });
    assert.equal(second.httpStatus, 200);
    assert.equal(third.httpStatus, 429);
    assert.equal(fourth.httpStatus, 429);
  }
}

async function abandonCalls(target: Target): Promise<void> {
  assert.ok((await rapidResets(target, 20_000)) > 0, "no connection was ended");
}

async function floodHeaders(target: Target): Promise<void> {
  assert.equal(await endlessHeaders(target, 50, 1_000), 50);
  const long = { "content-type": "application/grpc", "x-long": "x".repeat(20_000) };
  const many = Object.fromEntries(Array.from({ length: 120 }, (_, index) => [`x-${index}`, "y"]));
  for (let round = 0; round < 100; round++) {
    assert.equal((await post(target, getPath, long, grpcMessage(Buffer.alloc(0)))).httpStatus, 431);
    const headers = { "content-type": "application/grpc", ...many };
    const { httpStatus } = await post(target, getPath, headers, Buffer.alloc(0));
    assert.ok([0, 431].includes(httpStatus), `too many headers were answered with ${httpStatus}`);
  }
  const over1 = await fetch(`http://127.0.0.1:${target.port}${getPath}`, { method: "POST", headers: many });
  assert.equal(over1.status, 431);
}

async function sendSlowly(target: Target): Promise<void> {
  const manners = target.ca === undefined ? slowManners : [...slowManners, "handshake" as const];
  const each = Math.floor(1_000 / manners.length);
  await Promise.all(manners.flatMap((manner) => Array.from({ length: each }, () => trickle(target, manner, 250))));
}

async function openStreams(target: Target): Promise<void> {
  for (let round = 0; round < 5; round++) {
    assert.equal(await manyStreams(target, 4, 5_000), 4);
  }
}

async function nestValues(target: Target): Promise<void> {
  const { json, grpc } = nestedRequests(200_000);
  for (let round = 0; round < 5; round++) {
    for (const body of json) {
      const { httpStatus } = await post(target, createPath, { "content-type": "application/json" }, body);
      assert.equal(httpStatus, 400);
    }
    for (const body of grpc) {
      const { grpcStatus } = await post(target, createPath, { "content-type": "application/grpc" }, body);
      assert.equal(grpcStatus, 3);
    }
  }
}
