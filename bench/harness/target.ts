import { connect } from "node:http2";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  fromJsonString,
  type MessageInitShape,
  type MessageShape,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";

/** How a call is put on HTTP/2. */
export type Protocol = "grpc" | "connect" | "connect-json";

/** A call that a load generator can repeat byte for byte, and whose answers are messages of a kind. */
export interface Target<M = unknown> {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** Reads the body of an answer. */
  readonly decode: (body: Uint8Array) => M;
}

/** What came back. */
export interface Answer<M> {
  readonly message: M;
  readonly body: Uint8Array;
}

const contentTypes: Readonly<Record<Protocol, string>> = {
  grpc: "application/grpc",
  connect: "application/proto",
  "connect-json": "application/json",
};
/** Before each message in gRPC: a flag and the length. */
const prefixBytes = 5;

/** The call of a method at a server. */
export function methodTarget<I extends DescMessage, O extends DescMessage>(call: {
  readonly serverUrl: string;
  readonly protocol: Protocol;
  readonly method: DescMethodUnary<I, O>;
  readonly request: MessageInitShape<I>;
  readonly token?: string;
}): Target<MessageShape<O>> {
  const { method, protocol, token } = call;
  const message = create(method.input, call.request);
  const binary = toBinary(method.input, message);
  const json = protocol === "connect-json";
  return {
    url: `${call.serverUrl}/${method.parent.typeName}/${method.name}`,
    headers: {
      "content-type": contentTypes[protocol],
      ...(protocol === "grpc" ? { te: "trailers" } : { "connect-protocol-version": "1" }),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    body: json
      ? new TextEncoder().encode(toJsonString(method.input, message))
      : protocol === "grpc"
        ? framed(binary)
        : binary,
    decode: (body) =>
      json
        ? fromJsonString(method.output, new TextDecoder().decode(body))
        : fromBinary(method.output, protocol === "grpc" ? body.subarray(prefixBytes) : body),
  };
}

/** A gRPC frame with one message. */
export function framed(message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(prefixBytes + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, prefixBytes);
  return frame;
}

/** Makes the call once, on a connection of its own. Throws when the answer is not a good one. */
export async function callTarget<M>(target: Target<M>): Promise<Answer<M>> {
  const { origin, pathname } = new URL(target.url);
  const session = connect(origin);
  try {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    session.once("error", reject);
    const stream = session.request({ ":method": "POST", ":path": pathname, ...target.headers });
    const chunks: Buffer[] = [];
    let refusal: string | undefined;
    const look = (headers: Readonly<Record<string, unknown>>) => {
      const { ":status": status = 200, "grpc-status": grpcStatus = "0", "grpc-message": text = "" } = headers;
      if (status !== 200 || grpcStatus !== "0") {
        refusal = `HTTP ${status}, gRPC ${grpcStatus} ${text}`;
      }
    };
    stream.on("response", look).on("trailers", look).on("error", reject);
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => (refusal === undefined ? resolve(Buffer.concat(chunks)) : reject(new Error(refusal))));
    stream.setTimeout(10_000, () => reject(new Error("no answer in 10 s")));
    stream.end(target.body);
    const body = await promise.catch((error: unknown) => {
      throw new Error(`${target.url} answers wrongly: ${String(error)}`, { cause: error });
    });
    return { message: target.decode(body), body };
  } finally {
    session.destroy();
  }
}
