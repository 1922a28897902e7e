import { once } from "node:events";
import * as net from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { connectTestClient } from "../../support/test-client.ts";
import { startTestServer } from "../../support/test-server.ts";

/** Frame types and the flag that ends a stream (RFC 9113, section 6). */
const data = 0;
const headers = 1;
const endStream = 1;

/** The frames that begin in a piece of an HTTP/2 connection. */
function framesIn(piece: Buffer): { type: number; ends: boolean }[] {
  const frames: { type: number; ends: boolean }[] = [];
  for (let at = 0; at + 9 <= piece.length; at += 9 + piece.readUIntBE(at, 3)) {
    frames.push({ type: piece.readUInt8(at + 3), ends: (piece.readUInt8(at + 4) & endStream) !== 0 });
  }
  return frames;
}

test("headers, message and trailers of an answer go out together, so that a server killed in between sends all or nothing", async () => {
  const { port } = await startTestServer();
  const pieces: Buffer[] = [];
  const between = net.createServer((client) => {
    const server = net.connect(port, "127.0.0.1");
    client.on("error", () => {}).pipe(server.on("error", () => {}));
    server.on("data", (piece: Buffer) => pieces.push(piece)).pipe(client);
  });
  between.listen(0, "127.0.0.1");
  await once(between, "listening");
  onTestFinished(() => void between.close());
  const client = connectTestClient(`http://127.0.0.1:${(between.address() as net.AddressInfo).port}`);
  for (let calls = 0; calls < 20; calls++) {
    pieces.length = 0;
    await client.listOperations({});
    const answering = pieces.map(framesIn).filter((frames) => frames.some(({ type }) => type === headers));
    expect(answering).toHaveLength(1);
    const [frames = []] = answering.map((all) => all.filter(({ type }) => type === headers || type === data));
    expect(frames.map(({ type }) => type)).toEqual([headers, data, headers]);
    expect(frames.map(({ ends }) => ends)).toEqual([false, false, true]);
  }
});
