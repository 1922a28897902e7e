import type { RequestBody } from "./lane-protocol.ts";

/** Bytes in front of a message: its flags and its length. */
const prefixBytes = 5;

/** The body of a gRPC request, as far as it has come. */
export class FramedBody implements RequestBody {
  readonly #maxBytes: number;
  #first: Buffer | undefined;
  #more: Buffer[] | undefined;
  #received = 0;

  /** `maxBytes` is the longest message that is taken. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** More is not needed when a message is too long, or one too many. */
  push(chunk: Buffer): boolean {
    this.#received += chunk.length;
    if (!this.#first || this.#first.length < prefixBytes) {
      this.#first = this.#first ? Buffer.concat([this.#first, chunk]) : chunk;
      return this.#first.length >= prefixBytes && lengthOf(this.#first) > this.#maxBytes;
    }
    this.#more ??= [];
    this.#more.push(chunk);
    return this.#received >= 2 * (prefixBytes + this.#maxBytes);
  }

  /** All that has come. */
  get bytes(): Uint8Array {
    return this.#more && this.#first ? Buffer.concat([this.#first, ...this.#more]) : (this.#first ?? new Uint8Array());
  }
}

/** The message in a body that is nothing but one message, not compressed; undefined for every other body. */
export function onlyMessage(body: Uint8Array, maxBytes: number): Uint8Array | undefined {
  const isPlain = body.length >= prefixBytes && body[0] === 0;
  const isOnly = isPlain && lengthOf(body) === body.length - prefixBytes && body.length <= prefixBytes + maxBytes;
  return isOnly ? body.subarray(prefixBytes) : undefined;
}

/** The length that a prefix tells. */
function lengthOf(body: Uint8Array): number {
  return (((body[1] ?? 0) << 24) | ((body[2] ?? 0) << 16) | ((body[3] ?? 0) << 8) | (body[4] ?? 0)) >>> 0;
}
