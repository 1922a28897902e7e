import type { DescFile, MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { Code } from "../../gen/google/rpc/code_pb.ts";
import type {
  ServerReflectionRequest,
  ServerReflectionResponseSchema,
  ServerReflection as V1,
} from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import type { ServerReflection as V1Alpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { type DescriptorIndex, fileBytes, withImports } from "./descriptor-index.ts";
import type { OpenStreams } from "./open-streams.ts";

/** What can be asked for. */
export interface Reflected {
  /** Full names of all services on the port. */
  readonly serviceNames: ReadonlySet<string>;
  readonly index: DescriptorIndex;
}

/**
 * Answers server reflection, for grpc.reflection.v1.ServerReflection and for v1alpha alike. `reflected` is asked with
 * the first question.
 */
export function createReflectionHandlers(
  reflected: () => Reflected,
  streams: OpenStreams,
): ServiceImpl<typeof V1> & ServiceImpl<typeof V1Alpha> {
  const handlers: ServiceImpl<typeof V1> = {
    serverReflectionInfo: (questions, context) =>
      streams.hold(context, (ended) => answers(reflected(), questions, ended)),
  };
  // The messages of both versions have the same fields, and those that are answered are only made into their type later.
  return handlers as ServiceImpl<typeof V1> & ServiceImpl<typeof V1Alpha>;
}

type Response = MessageInitShape<typeof ServerReflectionResponseSchema>;
type Answer = NonNullable<Exclude<Response, { readonly $typeName: string }>["messageResponse"]>;

async function* answers(
  reflected: Reflected,
  questions: AsyncIterable<ServerReflectionRequest>,
  ended: AbortSignal,
): AsyncGenerator<Response> {
  /** Clients keep what they have got in a stream. */
  const sent = new Set<DescFile>();
  const over = new Promise<undefined>((resolve) => {
    ended.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  const iterator = questions[Symbol.asyncIterator]();
  while (!ended.aborted) {
    const next = await Promise.race([iterator.next(), over]);
    if (next === undefined || next.done) {
      return;
    }
    const question = next.value;
    const { $typeName: _type, $unknown: _unknown, ...original } = question;
    yield { validHost: question.host, originalRequest: original, messageResponse: answer(reflected, question, sent) };
  }
}

function answer(
  { serviceNames, index }: Reflected,
  { messageRequest }: ServerReflectionRequest,
  sent: Set<DescFile>,
): Answer {
  switch (messageRequest.case) {
    case "listServices":
      return { case: "listServicesResponse", value: { service: [...serviceNames].sort().map((name) => ({ name })) } };
    case "fileByFilename":
      return fileAnswer(index.file(messageRequest.value), `file ${messageRequest.value}`, sent);
    case "fileContainingSymbol":
      return fileAnswer(index.fileOfSymbol(messageRequest.value), `symbol ${messageRequest.value}`, sent);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = messageRequest.value;
      const extension = index.extensionsOf(containingType)?.get(extensionNumber);
      return fileAnswer(extension?.file, `extension ${extensionNumber} of ${containingType}`, sent);
    }
    case "allExtensionNumbersOfType": {
      const extensions = index.extensionsOf(messageRequest.value);
      return extensions
        ? {
            case: "allExtensionNumbersResponse",
            value: { baseTypeName: messageRequest.value, extensionNumber: [...extensions.keys()] },
          }
        : failure(Code.NOT_FOUND, `there is no type ${messageRequest.value}`);
    }
    case undefined:
      return failure(Code.INVALID_ARGUMENT, "the request asks for nothing");
  }
}

function fileAnswer(file: DescFile | undefined, wanted: string, sent: Set<DescFile>): Answer {
  if (!file) {
    return failure(Code.NOT_FOUND, `there is no ${wanted}`);
  }
  const files = [file, ...withImports(file).filter((one) => one !== file && !sent.has(one))];
  for (const one of files) {
    sent.add(one);
  }
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto: files.map(fileBytes) } };
}

function failure(errorCode: number, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}
