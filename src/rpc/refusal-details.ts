import type { JsonReadOptions, JsonWriteOptions } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { createAsyncIterable, readAllBytes, type UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  codeToHttpStatus,
  endStreamFlag,
  endStreamFromJson,
  errorFromJsonBytes,
} from "@connectrpc/connect/protocol-connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag, trailerParse } from "@connectrpc/connect/protocol-grpc-web";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { connectErrorFrom } from "./call-errors.ts";
import { connectEnd, connectError, grpcTrailer, grpcWebTrailer, respellMessage } from "./rpc-protocol.ts";

type JsonOptions = Partial<JsonReadOptions & JsonWriteOptions> | undefined;
type Told = (error: ConnectError) => void;

/** Flag of a frame that is compressed, and the length of what is in front of its data. */
const compressedFlag = 1;
const framePrefixBytes = 5;
const jsonType = /^application\/json\b/;
const grpcWebType = /^application\/grpc-web\b/;
const connectStreamType = /^application\/connect\b/;

/**
 * Gives the error an answer carries the details that all errors have, if it has none: the protocol layer refuses a
 * request it cannot read before any interceptor is asked. An answer without an error is passed on as it is.
 *
 * `told` hears of every error that got its details here.
 */
export async function explain(
  answer: UniversalServerResponse,
  isUnary: boolean,
  jsonOptions: JsonOptions,
  told: Told,
): Promise<UniversalServerResponse> {
  const { trailer, body, status, header } = answer;
  if (trailer) {
    // gRPC. The trailers of a unary call are known with its first bytes, those of a stream at its end.
    if (isUnary || !body) {
      explainTrailer(trailer, told);
      return answer;
    }
    return { ...answer, body: atEnd(body, () => explainTrailer(trailer, told)) };
  }
  if (!body) {
    return answer;
  }
  const type = header?.get("content-type") ?? "";
  if (status !== 200) {
    return jsonType.test(type) ? explainConnect(answer, body, jsonOptions, told) : answer;
  }
  if (grpcWebType.test(type)) {
    return { ...answer, body: eachFrame(body, header?.get("grpc-encoding"), trailerFlag, explainWebTrailer(told)) };
  }
  if (connectStreamType.test(type)) {
    const explainEnd = explainConnectEnd(jsonOptions, told);
    return { ...answer, body: eachFrame(body, header?.get("connect-content-encoding"), endStreamFlag, explainEnd) };
  }
  return answer;
}

/** The error with its details; undefined when it has them already. */
function explained(error: ConnectError | undefined, told: Told): ConnectError | undefined {
  if (!error || error.details.length > 0) {
    return undefined;
  }
  const result = connectErrorFrom(error);
  told(result);
  return result;
}

/** Answers whether the trailers have an error, and so have changed. */
function explainTrailer(trailer: Headers, told: Told): boolean {
  const status = trailer.get("grpc-status");
  if (status === "0" || status === null) {
    return false;
  }
  const error = trailer.has("grpc-status-details-bin") ? undefined : explained(findTrailerError(trailer), told);
  if (error) {
    grpcTrailer(error, trailer);
  } else {
    respellMessage(trailer);
  }
  return true;
}

function explainWebTrailer(told: Told): FrameChange {
  return (data) => {
    const trailer = trailerParse(data);
    return explainTrailer(trailer, told) ? grpcWebTrailer(trailer) : undefined;
  };
}

function explainConnectEnd(jsonOptions: JsonOptions, told: Told): FrameChange {
  return (data) => {
    const end = endStreamFromJson(data);
    const error = explained(end.error, told);
    return error && connectEnd(end.metadata, error, jsonOptions);
  };
}

async function explainConnect(
  answer: UniversalServerResponse,
  body: AsyncIterable<Uint8Array>,
  jsonOptions: JsonOptions,
  told: Told,
): Promise<UniversalServerResponse> {
  const bytes = await readAllBytes(body, Number.MAX_SAFE_INTEGER);
  const header = new Headers(answer.header);
  const plain = await unpacked(bytes, header.get("content-encoding"));
  const error = explained(errorFromJsonBytes(plain, undefined, new ConnectError("", Code.Internal)), told);
  return error
    ? connectError(codeToHttpStatus(error.code), header, error, jsonOptions)
    : { ...answer, body: createAsyncIterable([bytes]) };
}

/** Answers another frame for the data of one, or undefined to keep it. */
type FrameChange = (data: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer> | undefined;

/** The same chunks, each of which is a frame; those with a flag may become others. */
async function* eachFrame(
  chunks: AsyncIterable<Uint8Array>,
  encoding: string | null | undefined,
  flag: number,
  change: FrameChange,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    const [flags = 0] = chunk;
    if ((flags & flag) === 0) {
      yield chunk;
      continue;
    }
    const data = new Uint8Array(chunk.subarray(framePrefixBytes));
    yield change((flags & compressedFlag) === 0 ? data : await unpacked(data, encoding)) ?? chunk;
  }
}

async function* atEnd(chunks: AsyncIterable<Uint8Array>, end: () => void): AsyncGenerator<Uint8Array> {
  yield* chunks;
  end();
}

/** Unpacks what this server has packed, so its size is known to be small. */
async function unpacked(bytes: Uint8Array, encoding: string | null | undefined): Promise<Uint8Array<ArrayBuffer>> {
  const compression = [compressionGzip, compressionBrotli].find(({ name }) => name === encoding);
  return new Uint8Array(compression ? await compression.decompress(bytes, Number.MAX_SAFE_INTEGER) : bytes);
}
