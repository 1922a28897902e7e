import type { OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Message } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  type Compression,
  compressedFlag,
  createAsyncIterable,
  encodeEnvelope,
  pipe,
  type Serialization,
  transformDecompressEnvelope,
  transformParseEnvelope,
  transformSplitEnvelope,
} from "@connectrpc/connect/protocol";
import {
  contentTypeProto,
  grpcStatusOk,
  headerAcceptEncoding,
  headerContentType,
  headerEncoding,
  headerGrpcStatus,
  headerTimeout,
  parseTimeout,
} from "@connectrpc/connect/protocol-grpc";
import { isLongGrpcTimeout } from "../long-timeouts.ts";
import { grpcTrailer } from "../rpc-protocol.ts";
import type { FastCall } from "./fast-call.ts";
import { FramedBody, onlyMessage } from "./framed-body.ts";
import { encodeAnswer, type LaneProtocol, negotiate, nodeHeaders, textOf } from "./lane-protocol.ts";

const timeoutHeader = headerTimeout.toLowerCase();
const encodingHeader = headerEncoding.toLowerCase();
const acceptHeader = headerAcceptEncoding.toLowerCase();
const typeHeader = headerContentType.toLowerCase();
/** The headers of most answers, as Node.js takes them without a look at each. */
const plainHeaders = [":status", "200", typeHeader, contentTypeProto];
const okTrailers = { [headerGrpcStatus.toLowerCase()]: grpcStatusOk };
const withTrailers = { waitForTrailers: true };

/** gRPC with messages in protobuf. `maxBytes` is the longest message that is taken. */
export function createGrpcProtocol(available: Compression[], maxBytes: number): LaneProtocol<ServerHttp2Stream> {
  return {
    name: "grpc",
    timeoutOf: (headers) => {
      const text = textOf(headers[timeoutHeader]);
      return text === null || isLongGrpcTimeout(text) ? {} : parseTimeout(text, Number.MAX_SAFE_INTEGER);
    },
    compressionOf: (headers) => negotiate(headers, encodingHeader, acceptHeader, available),
    lengthErrorOf: () => undefined,
    bodyOf: () => new FramedBody(maxBytes),
    read: ({ serialization }, body, compression) => {
      const requests = serialization.getI(true);
      const message = onlyMessage(body, maxBytes);
      return message ? requests.parse(message) : readOddly(body, compression, requests, maxBytes);
    },
    encode: ({ serialization }, answer, compression) =>
      encodeAnswer(answer, "grpc", serialization.getO(true).serialize, compression, frame),
    send: (stream, call, { bytes }, compression) => {
      const { answeredHeader, answeredTrailer } = call;
      if (answeredTrailer) {
        const trailers = { ...nodeHeaders(answeredTrailer), ...okTrailers };
        stream.on("wantTrailers", () => stream.sendTrailers(trailers));
      } else {
        stream.on("wantTrailers", sendOk);
      }
      stream.respond(compression || answeredHeader ? answerHeaders(call, compression) : plainHeaders, withTrailers);
      stream.end(bytes);
    },
    // The single frame that gRPC calls Trailers-Only: a client may retry what has not begun to be answered.
    sendError: (stream, call, said, error, compression) => {
      const trailer = new Headers(call.answeredTrailer);
      for (const one of new Set([said, error])) {
        grpcTrailer(one, trailer);
      }
      stream.respond({ ...answerHeaders(call, compression), ...nodeHeaders(trailer) }, { endStream: true });
    },
  };
}

function frame(data: Uint8Array, isCompressed: boolean): Uint8Array {
  return encodeEnvelope(isCompressed ? compressedFlag : 0, data);
}

function answerHeaders({ answeredHeader }: FastCall, compression: Compression | null): OutgoingHttpHeaders {
  return {
    ...(answeredHeader && nodeHeaders(answeredHeader)),
    ":status": 200,
    [typeHeader]: contentTypeProto,
    ...(compression && { [encodingHeader]: compression.name }),
  };
}

/** A listener of every stream, so that none needs one of its own. */
function sendOk(this: ServerHttp2Stream): void {
  this.sendTrailers(okTrailers);
}

/** Reads what is compressed, or is not one message: with the means, and so the errors, of connect. */
async function readOddly(
  body: Uint8Array,
  compression: Compression | null,
  requests: Serialization<Message>,
  maxBytes: number,
): Promise<Message> {
  const messages = pipe(
    createAsyncIterable(body.length > 0 ? [body] : []),
    transformSplitEnvelope(maxBytes),
    transformDecompressEnvelope(compression, maxBytes),
    transformParseEnvelope(requests),
  )[Symbol.asyncIterator]();
  const first = await messages.next();
  if (first.done) {
    throw new ConnectError("protocol error: missing input message for unary method", Code.Unimplemented);
  }
  const second = await messages.next();
  if (!second.done) {
    throw new ConnectError("protocol error: received extra input message for unary method", Code.Unimplemented);
  }
  return first.value;
}
