import type { OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Message } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import { type Compression, compressedFlag, encodeEnvelope } from "@connectrpc/connect/protocol";
import {
  contentTypeProto,
  grpcStatusOk,
  headerContentType,
  headerEncoding,
  headerGrpcStatus,
} from "@connectrpc/connect/protocol-grpc";
import { encodedOnce } from "../encoded-answers.ts";
import { grpcTrailer } from "../rpc-protocol.ts";
import type { FastCall } from "./fast-call.ts";

/** Below this, compression costs more than it saves, in bytes; connect has the same bound. */
const compressMinBytes = 1_024;
const okTrailers = { [headerGrpcStatus]: grpcStatusOk };
const withTrailers = { waitForTrailers: true };

/** The frame that carries an answer; a promise of it when it has to be compressed. */
export function frameOf(
  message: Message,
  serialize: (message: Message) => Uint8Array<ArrayBuffer>,
  compression: Compression | null,
): Uint8Array | Promise<Uint8Array> {
  return encodedOnce(message, `grpc ${compression?.name}`, () => {
    const data = serialize(message);
    return compression && data.byteLength >= compressMinBytes
      ? compression.compress(data).then((compressed) => encodeEnvelope(compressedFlag, compressed))
      : encodeEnvelope(0, data);
  });
}

/**
 * Sends an answer: headers, message and trailers in one go, so that a server which dies has sent all of it or nothing,
 * and a client may retry.
 */
export function sendAnswer(
  stream: ServerHttp2Stream,
  call: FastCall,
  frame: Uint8Array,
  compression: Compression | null,
): void {
  const { answeredTrailer } = call;
  if (answeredTrailer) {
    const trailers = { ...nodeHeaders(answeredTrailer), ...okTrailers };
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  } else {
    stream.on("wantTrailers", sendOk);
  }
  stream.respond(answerHeaders(call, compression), withTrailers);
  stream.end(frame);
}

/** Sends an error as the single frame that gRPC calls Trailers-Only; of several errors, what the later ones leave. */
export function sendError(
  stream: ServerHttp2Stream,
  call: FastCall,
  errors: readonly ConnectError[],
  compression: Compression | null,
): void {
  const trailer = new Headers(call.answeredTrailer);
  for (const error of new Set(errors)) {
    grpcTrailer(error, trailer);
  }
  stream.respond({ ...answerHeaders(call, compression), ...nodeHeaders(trailer) }, { endStream: true });
}

/** A listener of every stream, so that none needs one of its own. */
function sendOk(this: ServerHttp2Stream): void {
  this.sendTrailers(okTrailers);
}

function answerHeaders(call: FastCall, compression: Compression | null): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { ":status": 200, [headerContentType]: contentTypeProto };
  if (compression) {
    headers[headerEncoding] = compression.name;
  }
  return call.answeredHeader ? { ...nodeHeaders(call.answeredHeader), ...headers } : headers;
}

/** Several cookies are several headers; everything else has one value. */
function nodeHeaders(headers: Headers): OutgoingHttpHeaders {
  const cookies = headers.getSetCookie();
  return { ...Object.fromEntries(headers), ...(cookies.length > 0 && { "set-cookie": cookies }) };
}
