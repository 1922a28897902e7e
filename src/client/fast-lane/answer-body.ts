/** Bytes in front of a message in gRPC: its flags and its length. */
const prefixBytes = 5;

/** A message as gRPC sends it, not compressed. */
export function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(prefixBytes + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, prefixBytes);
  return frame;
}

/** The body of a gRPC answer, as far as it has come. */
export class AnswerBody {
  readonly #maxBytes: number;
  #bytes: Buffer | undefined;
  #more: Buffer[] | undefined;
  #received = 0;

  /** `maxBytes` is the longest message that is taken. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes what has come. False when this is not one plain message of allowed length, whatever comes. */
  push(chunk: Buffer): boolean {
    this.#received += chunk.length;
    if (!this.#bytes || this.#bytes.length < prefixBytes) {
      this.#bytes = this.#bytes ? Buffer.concat([this.#bytes, chunk]) : chunk;
    } else {
      this.#more ??= [];
      this.#more.push(chunk);
    }
    if (this.#bytes.length < prefixBytes) {
      return true;
    }
    const length = this.#bytes.readUInt32BE(1);
    return this.#bytes[0] === 0 && length <= this.#maxBytes && this.#received <= prefixBytes + length;
  }

  /**
   * The message; undefined while it is not complete. Its bytes are its own: those that came are part of what was read
   * from the connection at once, which would live as long as the message.
   */
  get message(): Uint8Array | undefined {
    const first = this.#bytes;
    if (!first || first.length < prefixBytes || this.#received !== prefixBytes + first.readUInt32BE(1)) {
      return undefined;
    }
    const whole = this.#more ? Buffer.concat([first, ...this.#more]) : first;
    return new Uint8Array(whole.subarray(prefixBytes));
  }
}
