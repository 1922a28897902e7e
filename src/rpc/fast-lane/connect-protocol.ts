import type { OutgoingHttpHeaders } from "node:http2";
import type { JsonReadOptions, JsonWriteOptions } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  type Compression,
  createAsyncIterable,
  mergeNonProtocolHeaders,
  readAllBytes,
} from "@connectrpc/connect/protocol";
import {
  codeToHttpStatus,
  contentTypeUnaryJson,
  contentTypeUnaryProto,
  errorToJsonBytes,
  headerContentType,
  headerTimeout,
  headerUnaryAcceptEncoding,
  headerUnaryContentLength,
  headerUnaryEncoding,
  parseTimeout,
  trailerMux,
} from "@connectrpc/connect/protocol-connect";
import { isLongConnectTimeout } from "../long-timeouts.ts";
import type { FastCall } from "./fast-call.ts";
import { compressMinBytes, encodeAnswer, type LaneProtocol, negotiate, nodeHeaders, textOf } from "./lane-protocol.ts";
import { PlainBody } from "./plain-body.ts";

const timeoutHeader = headerTimeout.toLowerCase();
const encodingHeader = headerUnaryEncoding.toLowerCase();
const acceptHeader = headerUnaryAcceptEncoding.toLowerCase();
const typeHeader = headerContentType.toLowerCase();
const lengthHeader = headerUnaryContentLength.toLowerCase();

/** Connect for unary calls, by POST, with messages in protobuf or in JSON. `maxBytes` is the longest that is taken. */
export function createConnectProtocol(
  isBinary: boolean,
  available: Compression[],
  maxBytes: number,
  jsonOptions: Partial<JsonReadOptions & JsonWriteOptions>,
): LaneProtocol {
  const contentType = isBinary ? contentTypeUnaryProto : contentTypeUnaryJson;
  return {
    name: "connect",
    timeoutOf: (headers) => {
      const text = textOf(headers[timeoutHeader]);
      return text === null || isLongConnectTimeout(text) ? {} : parseTimeout(text, Number.MAX_SAFE_INTEGER);
    },
    compressionOf: (headers) => negotiate(headers, encodingHeader, acceptHeader, available),
    lengthErrorOf: (headers) => {
      const length = Number(headers[lengthHeader] ?? 0);
      return length > maxBytes
        ? new ConnectError(
            `message size ${length} is larger than configured readMaxBytes ${maxBytes}`,
            Code.ResourceExhausted,
          )
        : undefined;
    },
    bodyOf: () => new PlainBody(maxBytes),
    read: ({ serialization }, body, compression) => {
      const requests = serialization.getI(isBinary);
      if (body.length <= maxBytes && !compression) {
        return requests.parse(body);
      }
      return readAllBytes(createAsyncIterable([body]), maxBytes)
        .then((bytes) => (compression ? compression.decompress(bytes, maxBytes) : bytes))
        .then((bytes) => requests.parse(bytes));
    },
    encode: ({ serialization }, answer, compression) =>
      encodeAnswer(answer, contentType, serialization.getO(isBinary).serialize, compression, (data) => data),
    send: (stream, call, { bytes, isCompressed }, compression) => {
      stream.respond(
        answerHeaders(call, call.answeredHeader, {
          ":status": 200,
          [typeHeader]: contentType,
          [lengthHeader]: bytes.length,
          ...(isCompressed && { [encodingHeader]: compression?.name }),
        }),
      );
      stream.end(bytes);
    },
    sendError: async (stream, call, said, error, compression) => {
      const header = new Headers(call.answeredHeader);
      for (const one of new Set([said, error])) {
        mergeNonProtocolHeaders(header, one.metadata);
      }
      let body: Uint8Array = errorToJsonBytes(error, jsonOptions);
      const packing = said === error && body.length >= compressMinBytes ? compression : null;
      if (packing) {
        body = await packing.compress(body);
      }
      stream.respond(
        answerHeaders(call, header, {
          ":status": codeToHttpStatus(error.code),
          [typeHeader]: contentTypeUnaryJson,
          [lengthHeader]: body.length,
          ...(packing && { [encodingHeader]: packing.name }),
        }),
      );
      stream.end(body);
    },
  };
}

/** The headers of an answer: `own`, on top of what the handler says, whose trailers are headers, too. */
function answerHeaders(
  { answeredTrailer }: FastCall,
  header: Headers | undefined,
  own: OutgoingHttpHeaders,
): OutgoingHttpHeaders {
  const all = answeredTrailer ? trailerMux(header ?? new Headers(), answeredTrailer) : header;
  return all ? { ...nodeHeaders(all), ...own } : own;
}
