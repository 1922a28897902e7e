import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodUnary,
  type DescService,
  type Message,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type HandlerContext,
  type Interceptor,
  type ServiceImpl,
  type UnaryRequest,
} from "@connectrpc/connect";
import {
  type Compression,
  createAsyncIterable,
  createMethodSerializationLookup,
  pipe,
  type Serialization,
  transformDecompressEnvelope,
  transformParseEnvelope,
  transformSplitEnvelope,
} from "@connectrpc/connect/protocol";
import { FastAnswer, type FastCall } from "./fast-call.ts";
import { onlyMessage } from "./request-body.ts";

/** The sizes of messages, unpacked. */
export interface MessageLimits {
  readonly readMaxBytes: number;
  readonly writeMaxBytes: number;
}

/** A service and what answers its calls. */
export interface ServedService<S extends DescService = DescService> {
  readonly service: S;
  readonly implementation: ServiceImpl<S>;
}

/** A method as calls of it are answered here. */
export interface FastMethod {
  readonly desc: DescMethodUnary;
  /** The message of a request. Throws or rejects with a ConnectError of the protocol layer. */
  read(body: Uint8Array, compression: Compression | null): Message | Promise<Message>;
  /** Runs the interceptors and the implementation. */
  readonly answer: (call: FastCall) => Promise<Message>;
  /** The bytes of an answer. Throws a ConnectError. */
  readonly serialize: (message: Message) => Uint8Array<ArrayBuffer>;
}

type MessageInit = MessageInitShape<DescMessage>;
type Next = Parameters<Interceptor>[0];
type Implementation = (request: Message, context: HandlerContext) => Promise<MessageInit> | MessageInit;

/** The unary methods of services, by the path of their calls. */
export function fastMethods(
  services: readonly ServedService[],
  interceptors: readonly Interceptor[],
  limits: MessageLimits,
): ReadonlyMap<string, FastMethod> {
  const methods = new Map<string, FastMethod>();
  for (const { service, implementation } of services) {
    for (const desc of service.methods.filter(isUnary)) {
      const run = (implementation[desc.localName] as unknown as Implementation).bind(implementation);
      methods.set(`/${service.typeName}/${desc.name}`, fastMethod(desc, run, interceptors, limits));
    }
  }
  return methods;
}

function isUnary(method: DescMethod): method is DescMethod & DescMethodUnary {
  return method.methodKind === "unary";
}

function fastMethod(
  desc: DescMethodUnary,
  run: Implementation,
  interceptors: readonly Interceptor[],
  limits: MessageLimits,
): FastMethod {
  const serialization = createMethodSerializationLookup(desc, undefined, undefined, limits);
  const requests = serialization.getI(true);
  const handler = async (call: FastCall) => new FastAnswer(call, create(desc.output, await run(call.message, call)));
  const chain = interceptors.reduceRight<Next>((next, interceptor) => interceptor(next), handler as unknown as Next);
  return {
    desc,
    read: (body, compression) => {
      const message = onlyMessage(body, limits.readMaxBytes);
      return message ? requests.parse(message) : readOddly(body, compression, requests, limits.readMaxBytes);
    },
    answer: async (call) => (await chain(call as UnaryRequest)).message as Message,
    serialize: serialization.getO(true).serialize as FastMethod["serialize"],
  };
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
