import type { ServerResponse } from "node:http";
import { constants, type OutgoingHttpHeaders } from "node:http2";
import type { LaneStream } from "./lane-protocol.ts";

/** The response to an HTTP/1.1 request in the form of an HTTP/2 stream, as far as an answer needs one. */
export class Http1Stream implements LaneStream {
  /** A client has no other way to give a call up than to end its connection. */
  readonly rstCode = constants.NGHTTP2_CANCEL;
  readonly #response: ServerResponse;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  get closed(): boolean {
    return this.#response.closed;
  }

  get destroyed(): boolean {
    return this.#response.destroyed;
  }

  get headersSent(): boolean {
    return this.#response.headersSent;
  }

  respond({ ":status": status, ...headers }: OutgoingHttpHeaders): void {
    this.#response.writeHead(Number(status), headers);
  }

  /** Headers and body go out together: until here Node.js has only kept the headers. */
  end(bytes: Uint8Array): void {
    this.#response.end(bytes);
  }

  /** Ends the connection: there is no other way to tell a client that no answer will come. */
  close(): void {
    this.#response.destroy();
  }
}
