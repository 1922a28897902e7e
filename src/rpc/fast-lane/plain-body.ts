import type { RequestBody } from "./lane-protocol.ts";

/** The body of a Connect request, as far as it has come: all of it is the message. */
export class PlainBody implements RequestBody {
  readonly #maxBytes: number;
  readonly #chunks: Buffer[] = [];
  #received = 0;

  /** `maxBytes` is the longest message that is taken. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** More is not needed when it is too long. */
  push(chunk: Buffer): boolean {
    this.#chunks.push(chunk);
    this.#received += chunk.length;
    return this.#received > this.#maxBytes;
  }

  get bytes(): Uint8Array {
    const [first] = this.#chunks;
    return first && this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks);
  }
}
