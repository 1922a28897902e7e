import { once } from "node:events";
import * as http2 from "node:http2";
import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { onTestFinished } from "vitest";
import {
  type ErrorInfo,
  ErrorInfoSchema,
  type RetryInfo,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";

/** What a test sends, byte by byte. */
export interface RawCall {
  /** "/longhaul.v1.OperationsService/GetOperation" */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The whole body; for gRPC with its frames. Default: one frame with an empty message, or "{}". */
  readonly body?: Uint8Array | string;
}

/** How a raw call was answered. */
export interface RawAnswer {
  readonly httpStatus: number;
  /** The google.rpc.Code in numbers (gRPC, gRPC-Web) or in words (Connect); undefined when there is none. */
  readonly code: number | string | undefined;
  readonly message: string;
  /** The reason in google.rpc.ErrorInfo of domain longhaul. */
  readonly reason: string | undefined;
  /** Whether google.rpc.RetryInfo came with it. */
  readonly hasRetryInfo: boolean;
  readonly pushback: string | undefined;
}

/** A frame of gRPC: flags, length, data. */
export function frame(data: Uint8Array, flags = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flags, 0);
  prefix.writeUInt32BE(data.length, 1);
  return Buffer.concat([prefix, data]);
}

/** Makes a call by gRPC over HTTP/2. */
export async function rawGrpcCall(url: string, { path, headers, body = frame(new Uint8Array()) }: RawCall) {
  const session = http2.connect(url);
  session.on("error", () => {});
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  let trailers: http2.IncomingHttpHeaders = {};
  stream.on("trailers", (received) => {
    trailers = received;
  });
  const responded = once(stream, "response") as Promise<[http2.IncomingHttpHeaders]>;
  stream.end(body);
  const [head] = await responded;
  stream.resume();
  await once(stream, "close");
  const all = Object.entries({ ...head, ...trailers }).map(([name, value]) => [name, String(value)] as const);
  return grpcAnswer(Number(head[":status"]), new Map(all));
}

/** Makes a call by gRPC-Web over HTTP/1.1. */
export async function rawGrpcWebCall(url: string, { path, headers, body = frame(new Uint8Array()) }: RawCall) {
  const response = await fetch(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/grpc-web+proto", ...headers },
    body: body as string,
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  const trailers = new Map<string, string>();
  for (let at = 0; at < bytes.length; at += 5 + bytes.readUInt32BE(at + 1)) {
    if (((bytes[at] ?? 0) & 0x80) !== 0) {
      const text = bytes.subarray(at + 5, at + 5 + bytes.readUInt32BE(at + 1)).toString();
      for (const line of text.split("\r\n").filter((one) => one !== "")) {
        trailers.set(line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim());
      }
    }
  }
  return grpcAnswer(response.status, trailers);
}

/** Makes a unary call by Connect over HTTP/1.1, in JSON unless the headers say otherwise. */
export async function rawConnectCall(url: string, { path, headers, body = "{}" }: RawCall): Promise<RawAnswer> {
  const response = await fetch(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: body as string,
  });
  const text = await response.text();
  const error = (text === "" ? {} : JSON.parse(text)) as {
    code?: string;
    message?: string;
    details?: { type: string; value: string }[];
  };
  const detailsOf = (type: string) =>
    (error.details ?? []).filter((one) => one.type === type).map((one) => Buffer.from(one.value, "base64"));
  const infos = detailsOf(ErrorInfoSchema.typeName).map((bytes) => fromBinary(ErrorInfoSchema, bytes));
  return {
    httpStatus: response.status,
    code: error.code,
    message: error.message ?? "",
    reason: reasonOf(infos),
    hasRetryInfo: detailsOf(RetryInfoSchema.typeName).length > 0,
    pushback: response.headers.get("grpc-retry-pushback-ms") ?? undefined,
  };
}

function grpcAnswer(httpStatus: number, headers: ReadonlyMap<string, string>): RawAnswer {
  const encoded = headers.get("grpc-status-details-bin");
  const status = encoded === undefined ? undefined : fromBinary(StatusSchema, Buffer.from(encoded, "base64"));
  const infos = (status?.details ?? []).flatMap((any) => anyUnpack(any, ErrorInfoSchema) ?? []) as ErrorInfo[];
  const retries = (status?.details ?? []).flatMap((any) => anyUnpack(any, RetryInfoSchema) ?? []) as RetryInfo[];
  const code = headers.get("grpc-status");
  return {
    httpStatus,
    code: code === undefined ? undefined : Number(code),
    message: decodeURIComponent(headers.get("grpc-message") ?? ""),
    reason: reasonOf(infos),
    hasRetryInfo: retries.length > 0,
    pushback: headers.get("grpc-retry-pushback-ms"),
  };
}

function reasonOf(infos: readonly ErrorInfo[]): string | undefined {
  return infos.length === 1 && infos[0]?.domain === "longhaul" ? infos[0].reason : undefined;
}
