import { once } from "node:events";
import * as http2 from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { createGzip } from "node:zlib";
import {
  enhanceYourCalm,
  frame,
  frameFlag,
  frameType,
  grpcHeaders,
  grpcMessage,
  headerBlock,
  type ReceivedFrame,
} from "./http2-frames.ts";
import { rawClient, rawHttp2Client } from "./raw-client.ts";

/** Whom to attack: a port, over TLS when there is an authority to trust. */
export interface Target {
  readonly port: number;
  readonly ca?: string | undefined;
}

/** What came of one answer: the HTTP status and gRPC's own. */
export interface Answer {
  readonly httpStatus: number;
  readonly grpcStatus: number | undefined;
}

export const getPath = "/longhaul.v1.OperationsService/GetOperation";
export const createPath = "/longhaul.v1.OperationsService/CreateOperation";

/** `size` zeros, gzipped: of 400 MiB about 400 KB are left. */
export async function bomb(size: number): Promise<Buffer> {
  const gzip = createGzip({ level: 9 });
  const packed = gzip.toArray();
  const chunk = Buffer.alloc(1024 * 1024);
  for (let sent = 0; sent < size; sent += chunk.length) {
    if (!gzip.write(chunk)) {
      await once(gzip, "drain");
    }
  }
  gzip.end();
  return Buffer.concat(await packed);
}

/** Sends one body over HTTP/2. */
export async function post(
  { port, ca }: Target,
  path: string,
  headers: http2.OutgoingHttpHeaders,
  body: Buffer,
): Promise<Answer> {
  const session = http2.connect(`${ca === undefined ? "http" : "https"}://127.0.0.1:${port}`, ca ? { ca } : {});
  session.on("error", () => {});
  const stream = session.request({ ":method": "POST", ":path": path, te: "trailers", ...headers });
  stream.on("error", () => {});
  let answer: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader = {};
  stream.on("response", (values) => {
    answer = { ...answer, ...values };
  });
  stream.on("trailers", (values) => {
    answer = { ...answer, ...values };
  });
  stream.resume();
  stream.end(body);
  await new Promise<void>((resolve) => {
    stream.once("close", resolve);
    session.once("close", resolve);
  });
  session.close();
  const grpcStatus = answer["grpc-status"];
  return { httpStatus: answer[":status"] ?? 0, grpcStatus: grpcStatus === undefined ? undefined : Number(grpcStatus) };
}

/** Begins calls and abandons each at once, over as many connections as it takes. Answers how many the server ended with an error. */
export async function rapidResets({ port, ca }: Target, count: number): Promise<number> {
  let ended = 0;
  let sent = 0;
  const block = headerBlock(grpcHeaders(getPath));
  while (sent < count) {
    let isToldOff = false;
    const noteGoaway = ({ type, payload }: ReceivedFrame) => {
      isToldOff ||= type === frameType.goaway && payload.readUInt32BE(4) !== 0;
    };
    const client = await rawHttp2Client(port, noteGoaway, ca);
    for (let stream = 1; sent < count && client.socket.writable; stream += 2) {
      await client.send(
        Buffer.concat([
          frame(frameType.headers, frameFlag.endHeaders, stream, block),
          frame(frameType.rstStream, 0, stream, Buffer.from([0, 0, 0, 8])),
        ]),
      );
      sent += 1;
      if (sent % 100 === 0) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    client.socket.end();
    await client.closed;
    ended += isToldOff ? 1 : 0;
  }
  return ended;
}

/** Header frames without an end, on each of some connections until the server closes it or a limit is reached. */
export async function endlessHeaders({ port, ca }: Target, connections: number, frames: number): Promise<number> {
  let closedByServer = 0;
  const flood = async () => {
    const client = await rawHttp2Client(port, undefined, ca);
    await client.send(frame(frameType.headers, 0, 1, headerBlock(grpcHeaders(getPath))));
    const part = frame(frameType.continuation, 0, 1, headerBlock({ "x-flood": "x".repeat(16_000) }));
    for (let sent = 0; sent < frames && !client.socket.destroyed; sent++) {
      await client.send(part);
    }
    await Promise.race([client.closed, sleep(2_000)]);
    closedByServer += client.socket.destroyed ? 1 : 0;
    client.socket.destroy();
  };
  await Promise.all(Array.from({ length: connections }, flood));
  return closedByServer;
}

/** Many streams at once on few connections, none of which ends. Answers how many the server ended. */
export async function manyStreams({ port, ca }: Target, connections: number, streams: number): Promise<number> {
  let ended = 0;
  const block = headerBlock(grpcHeaders(getPath));
  const open = async () => {
    const client = await rawHttp2Client(port, undefined, ca);
    for (let stream = 1; stream < 2 * streams && !client.socket.destroyed; stream += 2) {
      await client.send(frame(frameType.headers, frameFlag.endHeaders, stream, block));
    }
    await Promise.race([client.closed, sleep(2_000)]);
    ended += client.socket.destroyed ? 1 : 0;
    client.socket.destroy();
  };
  await Promise.all(Array.from({ length: connections }, open));
  return ended;
}

/** How a slow sender sends. */
export type SlowManner = "silence" | "handshake" | "headers1" | "body1" | "headers2" | "body2";

/** Sends a byte now and then until the server has enough of it. Resolves with how long that took, in milliseconds. */
export async function trickle({ port, ca }: Target, manner: SlowManner, everyMs: number): Promise<number> {
  const beganMs = performance.now();
  const is1 = manner.endsWith("1");
  const isPlain = manner === "handshake";
  const client = isPlain ? await rawClient(port) : await rawClient(port, { ca, protocol: is1 ? "http/1.1" : "h2" });
  client.socket.resume();
  const isOver = new Promise<void>((resolve) => {
    void client.closed.then(() => resolve());
    if (manner === "body2") {
      // The connection stays; the stream is reset.
      client.socket.on("data", (bytes) => {
        if (bytes.includes(frame(frameType.rstStream, 0, 1, Buffer.from([0, 0, 0, enhanceYourCalm])))) {
          resolve();
        }
      });
    }
  });
  await client.send(beginnings[manner]);
  let stopped = false;
  const trickling = (async () => {
    while (!stopped) {
      await sleep(everyMs);
      await client.send(drops[manner]);
    }
  })();
  await isOver;
  stopped = true;
  await trickling;
  client.socket.destroy();
  return performance.now() - beganMs;
}

const start2 = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(frameType.settings, 0, 0)]);
const post1 = `POST ${getPath} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n`;
const beginnings: Readonly<Record<SlowManner, Uint8Array | string>> = {
  silence: "",
  handshake: Buffer.from([0x16, 3, 1, 2, 0, 1]),
  headers1: post1,
  body1: `${post1}content-length: 100000\r\n\r\n{`,
  headers2: Buffer.concat([start2, frame(frameType.headers, 0, 1, headerBlock(grpcHeaders(getPath)))]),
  body2: Buffer.concat([start2, frame(frameType.headers, frameFlag.endHeaders, 1, headerBlock(grpcHeaders(getPath)))]),
};
const drops: Readonly<Record<SlowManner, Uint8Array | string>> = {
  silence: "",
  handshake: Buffer.from([0]),
  headers1: "x: y\r\n",
  body1: " ",
  headers2: frame(frameType.continuation, 0, 1, headerBlock({ x: "y" })),
  body2: frame(frameType.data, 0, 1, Buffer.from([0])),
};

/** Values within values, as deep as told, in the JSON and the binary encoding of a request. */
export function nestedRequests(depth: number): { readonly json: Buffer[]; readonly grpc: Buffer[] } {
  const inParameters = (value: string) =>
    Buffer.from(`{"operationType":"training","metadata":{"parameters":${value}}}`);
  const nested = (open: string, close: string) => open.repeat(depth) + close.repeat(depth);
  // google.protobuf.Value.list_value of ListValue.values, from the inside out; lengths grow, so it is built backwards.
  let value: Buffer = Buffer.alloc(0);
  for (let level = 0; level < Math.min(depth, 2_000); level++) {
    value = delimited(6, delimited(1, value));
  }
  const entry = Buffer.concat([delimited(1, Buffer.from("a")), delimited(2, value)]);
  const request = delimited(3, delimited(6, delimited(1, entry)));
  return {
    json: [
      inParameters(nested('{"a":', "}").replace('{"a":}', '{"a":1}')),
      inParameters(`{"a":${nested("[", "]")}}`),
      Buffer.from("[".repeat(depth)),
      Buffer.from('{"a":'.repeat(depth)),
    ],
    grpc: [grpcMessage(request)],
  };
}

function delimited(field: number, bytes: Buffer): Buffer {
  const length: number[] = [];
  let left = bytes.length;
  for (; left >= 128; left = Math.floor(left / 128)) {
    length.push((left % 128) + 128);
  }
  length.push(left);
  return Buffer.concat([Buffer.from([field * 8 + 2, ...length]), bytes]);
}
