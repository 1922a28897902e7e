import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";
import type { Message } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import { type Compression, compressionNegotiate } from "@connectrpc/connect/protocol";
import { encodedOnce } from "../encoded-answers.ts";
import type { FastCall } from "./fast-call.ts";
import type { FastMethod } from "./fast-methods.ts";

/** The body of a request, as far as it has come. */
export interface RequestBody {
  /** Takes what has come. True when no more is needed to say what is wrong. */
  push(chunk: Buffer): boolean;
  /** All that has come. */
  readonly bytes: Uint8Array;
}

/** The bytes of an answer, as its protocol sends them. */
export interface Encoded {
  readonly bytes: Uint8Array;
  readonly isCompressed: boolean;
}

/** The compressions of a request and of its answer, or why the request's is not spoken. */
export type Negotiation = ReturnType<typeof compressionNegotiate>;

/** How long a caller waits, or why nobody knows. */
export interface Timeout {
  readonly timeoutMs?: number | undefined;
  readonly error?: ConnectError | undefined;
}

/** What an answer is sent on: a bare stream of HTTP/2, or what stands for one over HTTP/1.1. */
export interface LaneStream {
  readonly closed: boolean;
  readonly destroyed: boolean;
  readonly headersSent: boolean;
  /** The error code of HTTP/2 that it has closed with. */
  readonly rstCode?: number | undefined;
  /** Begins the answer; its status is among the headers, as ":status". */
  respond(headers: OutgoingHttpHeaders): void;
  end(bytes: Uint8Array): void;
  /** Gives it up, with an error code of HTTP/2. */
  close(code: number): void;
}

/** A protocol for unary calls, on streams of a kind. */
export interface LaneProtocol<S extends LaneStream = LaneStream> {
  /** As connect names it. */
  readonly name: string;
  timeoutOf(headers: IncomingHttpHeaders): Timeout;
  compressionOf(headers: IncomingHttpHeaders): Negotiation;
  /** Why a request is refused whose headers tell how long it is. */
  lengthErrorOf(headers: IncomingHttpHeaders): ConnectError | undefined;
  bodyOf(headers: IncomingHttpHeaders): RequestBody;
  /** The message of a request. Throws or rejects with a ConnectError of the protocol layer. */
  read(method: FastMethod, body: Uint8Array, compression: Compression | null): Message | Promise<Message>;
  /** Throws or rejects with a ConnectError when the answer cannot be sent. */
  encode(method: FastMethod, answer: Message, compression: Compression | null): Encoded | Promise<Encoded>;
  /**
   * Sends headers and answer together: a client that has got the headers does not retry any more (gRFC A6). Trailers of
   * HTTP/2 follow in the next turn of the event loop, because Node.js sends them so.
   */
  send(stream: S, call: FastCall, answer: Encoded, compression: Compression | null): void;
  /** Sends an error in the place of what the protocol layer or the handler has said, which may be the same. */
  sendError(
    stream: S,
    call: FastCall,
    said: ConnectError,
    error: ConnectError,
    compression: Compression | null,
  ): void | Promise<void>;
}

/** Below this, compression costs more than it saves, in bytes; connect has the same bound. */
export const compressMinBytes = 1_024;

const noCompression: Negotiation = { request: null, response: null };

/** Finds out what is spoken, from the two headers that say what a request is compressed by and what its answer may be. */
export function negotiate(
  headers: IncomingHttpHeaders,
  encodingHeader: string,
  acceptHeader: string,
  available: Compression[],
): Negotiation {
  const requested = headers[encodingHeader];
  const accepted = headers[acceptHeader];
  return requested === undefined && accepted === undefined
    ? noCompression
    : compressionNegotiate(available, textOf(requested), textOf(accepted), acceptHeader);
}

/** A header's text; null when there is none. */
export function textOf(value: string | string[] | undefined): string | null {
  return value === undefined ? null : String(value);
}

/** An answer that is serialized, and compressed if that is worth while; `frame` puts it in the form that is sent. */
export function encodeAnswer(
  answer: Message,
  form: string,
  serialize: (answer: Message) => Uint8Array,
  compression: Compression | null,
  frame: (data: Uint8Array, isCompressed: boolean) => Uint8Array,
): Encoded | Promise<Encoded> {
  return encodedOnce(answer, compression ? `${form} ${compression.name}` : form, () => {
    const data = serialize(answer);
    return compression && data.byteLength >= compressMinBytes
      ? compression.compress(data).then((packed) => ({ bytes: frame(packed, true), isCompressed: true }))
      : { bytes: frame(data, false), isCompressed: false };
  });
}

/** Headers as Node.js takes them. Several cookies are several headers; everything else has one value. */
export function nodeHeaders(headers: Headers): OutgoingHttpHeaders {
  const cookies = headers.getSetCookie();
  return { ...Object.fromEntries(headers), ...(cookies.length > 0 && { "set-cookie": cookies }) };
}
