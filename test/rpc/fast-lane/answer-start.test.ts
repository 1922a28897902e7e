import { once } from "node:events";
import * as net from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { connectTestClient } from "../../support/test-client.ts";
import { startTestServer } from "../../support/test-server.ts";

/** Frame types (RFC 9113, section 6). */
const data = 0;
const headers = 1;

/** The types of the frames that begin in a piece of an HTTP/2 connection. */
function framesIn(piece: Buffer): number[] {
  const types: number[] = [];
  for (let at = 0; at + 9 <= piece.length; at += 9 + piece.readUIntBE(at, 3)) {
    types.push(piece.readUInt8(at + 3));
  }
  return types.filter((type) => type === headers || type === data);
}

test("the headers of an answer go out with its message: a client that gets them does not retry any more", async () => {
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
    const frames = pieces.map(framesIn).filter((types) => types.length > 0);
    expect(frames.flat()).toEqual([headers, data, headers]);
    expect(frames[0]?.slice(0, 2)).toEqual([headers, data]);
  }
});
