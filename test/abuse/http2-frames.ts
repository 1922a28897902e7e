/** Frames of HTTP/2 (RFC 9113), made byte by byte, so that they can be wrong. */

/** The frame types that are used here. */
export const frameType = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Flags of DATA, HEADERS and, for the first, SETTINGS and PING. */
export const frameFlag = { ack: 1, endStream: 1, endHeaders: 4 } as const;

/** The error code of a server that asks a client to be calmer. */
export const enhanceYourCalm = 11;

/** How a client begins: the preface and its settings, with flow control windows that never fill up. */
export const clientBegins: Buffer = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  frame(frameType.settings, 0, 0, Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff])),
  frame(frameType.windowUpdate, 0, 0, Buffer.from([0x7f, 0xfe, 0, 0])),
]);

/** One frame. */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const bytes = Buffer.alloc(9 + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes.writeUInt8(type, 3);
  bytes.writeUInt8(flags, 4);
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, 9);
  return bytes;
}

/** Headers as HPACK literals without index and without Huffman code (RFC 7541, section 6.2.2). */
export function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(headers).flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]),
  );
}

/** The headers of a gRPC call. */
export function grpcHeaders(path: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    ":method": "POST",
    ":scheme": "http",
    ":path": path,
    ":authority": "abuse.test",
    "content-type": "application/grpc",
    te: "trailers",
    ...more,
  };
}

/** A message as gRPC sends it: a flag, its length, itself. */
export function grpcMessage(message: Uint8Array, isCompressed = false): Buffer {
  const bytes = Buffer.alloc(5 + message.length);
  bytes.writeUInt8(isCompressed ? 1 : 0, 0);
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, 5);
  return bytes;
}

/** A frame that came from a server. */
export interface ReceivedFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** Takes bytes as they come and answers the frames that are complete. */
export function createFrameReader(): (bytes: Buffer) => ReceivedFrame[] {
  let rest: Buffer = Buffer.alloc(0);
  return (bytes) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    const frames: ReceivedFrame[] = [];
    let at = 0;
    while (rest.length - at >= 9 && rest.length - at >= 9 + rest.readUIntBE(at, 3)) {
      const end = at + 9 + rest.readUIntBE(at, 3);
      frames.push({
        type: rest.readUInt8(at + 3),
        flags: rest.readUInt8(at + 4),
        stream: rest.readUInt32BE(at + 5) & 0x7fffffff,
        payload: rest.subarray(at + 9, end),
      });
      at = end;
    }
    rest = rest.subarray(at);
    return frames;
  };
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  const prefix: number[] = [];
  if (bytes.length < 127) {
    prefix.push(bytes.length);
  } else {
    prefix.push(127);
    let left = bytes.length - 127;
    for (; left >= 128; left = Math.floor(left / 128)) {
      prefix.push((left % 128) + 128);
    }
    prefix.push(left);
  }
  return Buffer.concat([Buffer.from(prefix), bytes]);
}
