import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodUnary,
  type DescService,
  type JsonReadOptions,
  type JsonWriteOptions,
  type Message,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import type { HandlerContext, Interceptor, ServiceImpl, UnaryRequest } from "@connectrpc/connect";
import { createMethodSerializationLookup, type MethodSerializationLookup } from "@connectrpc/connect/protocol";
import { FastAnswer, type FastCall } from "./fast-call.ts";

/** How messages are read and written. Sizes are of messages that are not compressed. */
export interface MessageOptions {
  readonly readMaxBytes: number;
  readonly writeMaxBytes: number;
  readonly jsonOptions: Partial<JsonReadOptions & JsonWriteOptions>;
}

/** A service and what answers its calls. */
export interface ServedService<S extends DescService = DescService> {
  readonly service: S;
  readonly implementation: ServiceImpl<S>;
}

/** A method as calls of it are answered here. */
export interface FastMethod {
  /** Of its calls: "/longhaul.v1.OperationsService/GetOperation". */
  readonly path: string;
  readonly desc: DescMethodUnary;
  readonly serialization: MethodSerializationLookup<DescMessage, DescMessage>;
  /** Runs the interceptors and the implementation. */
  readonly answer: (call: FastCall) => Promise<Message>;
}

type MessageInit = MessageInitShape<DescMessage>;
type Next = Parameters<Interceptor>[0];
type Implementation = (request: Message, context: HandlerContext) => Promise<MessageInit> | MessageInit;

/** The unary methods of services, by the path of their calls. */
export function fastMethods(
  services: readonly ServedService[],
  interceptors: readonly Interceptor[],
  options: MessageOptions,
): ReadonlyMap<string, FastMethod> {
  const methods = new Map<string, FastMethod>();
  for (const { service, implementation } of services) {
    for (const desc of service.methods.filter(isUnary)) {
      const run = (implementation[desc.localName] as unknown as Implementation).bind(implementation);
      const path = `/${service.typeName}/${desc.name}`;
      methods.set(path, fastMethod(path, desc, run, interceptors, options));
    }
  }
  return methods;
}

function isUnary(method: DescMethod): method is DescMethod & DescMethodUnary {
  return method.methodKind === "unary";
}

function fastMethod(
  path: string,
  desc: DescMethodUnary,
  run: Implementation,
  interceptors: readonly Interceptor[],
  options: MessageOptions,
): FastMethod {
  const handler = async (call: FastCall) => new FastAnswer(call, create(desc.output, await run(call.message, call)));
  const chain = interceptors.reduceRight<Next>((next, interceptor) => interceptor(next), handler as unknown as Next);
  return {
    path,
    desc,
    serialization: createMethodSerializationLookup(desc, undefined, options.jsonOptions, options),
    answer: async (call) => (await chain(call as UnaryRequest)).message as Message,
  };
}
