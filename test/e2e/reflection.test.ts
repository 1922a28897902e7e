import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect, test } from "vitest";
import {
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
  ServerReflection as V1,
} from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as V1Alpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";

const run = promisify(execFile);
const server = (settings = {}) => startTestServer({ orchestrators: [new TestServices()], settings });
const operations = "longhaul.v1.OperationsService";

type Question = MessageInitShape<typeof ServerReflectionRequestSchema>["messageRequest"];

describe.each([
  ["v1", V1],
  ["v1alpha", V1Alpha as unknown as typeof V1],
])("reflection %s", (_, service) => {
  /** Asks in one stream. */
  async function ask(url: string, ...questions: NonNullable<Question>[]): Promise<ServerReflectionResponse[]> {
    const client = createClient(service, createGrpcTransport({ baseUrl: url }));
    const answers: ServerReflectionResponse[] = [];
    async function* requests() {
      for (const messageRequest of questions) {
        yield { host: "here", messageRequest } as MessageInitShape<typeof ServerReflectionRequestSchema>;
      }
    }
    for await (const answer of client.serverReflectionInfo(requests())) {
      answers.push(answer);
    }
    return answers;
  }

  /** The names of the files an answer has, in order; the error's code and message when it has none. */
  function outcome({ messageResponse: { case: kind, value } }: ServerReflectionResponse): unknown {
    if (kind === "fileDescriptorResponse") {
      return value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name);
    }
    return kind === "errorResponse" ? [value.errorCode, value.errorMessage] : value;
  }

  test("lists every service on the port", async () => {
    const { url } = await server();
    const [answer] = await ask(url, { case: "listServices", value: "" });
    expect(answer).toMatchObject({
      validHost: "here",
      originalRequest: { host: "here", messageRequest: { case: "listServices" } },
      messageResponse: {
        case: "listServicesResponse",
        value: {
          service: [
            { name: "google.longrunning.Operations" },
            { name: "grpc.health.v1.Health" },
            { name: "grpc.reflection.v1.ServerReflection" },
            { name: "grpc.reflection.v1alpha.ServerReflection" },
            { name: operations },
          ],
        },
      },
    });
  });

  test("finds the file of every kind of symbol, also of what only travels in errors", async () => {
    const { url } = await server();
    const symbols = [
      ["longhaul.v1.OperationInfo", "longhaul/v1/operation.proto"],
      [".longhaul.v1.OperationInfo", "longhaul/v1/operation.proto"],
      ["longhaul.v1.OperationStatus", "longhaul/v1/operation.proto"],
      ["longhaul.v1.OPERATION_STATUS_PENDING", "longhaul/v1/operation.proto"],
      ["longhaul.v1.OperationInfo.warnings", "longhaul/v1/operation.proto"],
      [operations, "longhaul/v1/operations_service.proto"],
      [`${operations}.GetOperation`, "longhaul/v1/operations_service.proto"],
      ["google.protobuf.Timestamp", "google/protobuf/timestamp.proto"],
      ["google.rpc.ErrorInfo", "google/rpc/error_details.proto"],
    ] as const;
    for (const [symbol, file] of symbols) {
      const [answer] = await ask(url, { case: "fileContainingSymbol", value: symbol });
      expect([symbol, (answer && (outcome(answer) as string[]))?.[0]]).toEqual([symbol, file]);
    }
  });

  test("sends a file with all it imports, and nothing but the file itself a second time", async () => {
    const { url } = await server();
    const question = { case: "fileByFilename", value: "longhaul/v1/operation.proto" } as const;
    const [first, second] = await ask(url, question, question);
    expect(first && outcome(first)).toEqual([
      "longhaul/v1/operation.proto",
      "google/protobuf/any.proto",
      "google/protobuf/duration.proto",
      "google/protobuf/struct.proto",
      "google/protobuf/timestamp.proto",
    ]);
    expect(second && outcome(second)).toEqual(["longhaul/v1/operation.proto"]);
  });

  test("knows which extensions there are of a message", async () => {
    const { url } = await server();
    const [none, noType, noExtension] = await ask(
      url,
      { case: "allExtensionNumbersOfType", value: "longhaul.v1.OperationInfo" },
      { case: "allExtensionNumbersOfType", value: "longhaul.v1.Nothing" },
      {
        case: "fileContainingExtension",
        value: { containingType: "longhaul.v1.OperationInfo", extensionNumber: 7 } as never,
      },
    );
    expect(none && outcome(none)).toMatchObject({ baseTypeName: "longhaul.v1.OperationInfo", extensionNumber: [] });
    expect(noType && outcome(noType)).toEqual([Code.NotFound, "there is no type longhaul.v1.Nothing"]);
    expect(noExtension && outcome(noExtension)).toEqual([
      Code.NotFound,
      "there is no extension 7 of longhaul.v1.OperationInfo",
    ]);
  });

  test("answers errors in the stream, and goes on", async () => {
    const { url } = await server();
    const answers = await ask(
      url,
      { case: "fileByFilename", value: "nothing.proto" },
      { case: "fileContainingSymbol", value: "longhaul.v1.Nothing" },
      { case: undefined },
      { case: "fileContainingSymbol", value: operations },
    );
    expect(answers.slice(0, 3).map(outcome)).toEqual([
      [Code.NotFound, "there is no file nothing.proto"],
      [Code.NotFound, "there is no symbol longhaul.v1.Nothing"],
      [Code.InvalidArgument, "the request asks for nothing"],
    ]);
    expect(answers[3]?.messageResponse.case).toBe("fileDescriptorResponse");
  });

  test("is not there when it is switched off", async () => {
    const { url } = await server({ reflection: false });
    const failure = await ask(url, { case: "listServices", value: "" }).catch(ConnectError.from);
    expect(failure).toMatchObject({ code: Code.Unimplemented });
  });
});

test("buf curl needs no protos: it asks the server for them", async () => {
  const { url, client } = await server();
  const curl = (...args: string[]) =>
    run("node_modules/.bin/buf", ["curl", "--protocol", "grpc", "--http2-prior-knowledge", ...args]);
  const { stdout: listed } = await curl("--list-services", url);
  expect(listed.split("\n")).toContain(operations);
  const { stdout: created } = await curl("-d", '{"operationType":"training"}', `${url}/${operations}/CreateOperation`);
  const { operation } = JSON.parse(created) as { operation: { operationId: string } };
  expect((await client.getOperation({ operationId: operation.operationId })).operation).toBeDefined();
});

test("an open stream ends when the server stops", async () => {
  const { url, stop } = await server();
  const client = createClient(V1, createGrpcTransport({ baseUrl: url }));
  const never = Promise.withResolvers<void>();
  async function* requests() {
    yield create(ServerReflectionRequestSchema, { messageRequest: { case: "listServices", value: "" } });
    await never.promise;
  }
  const answers = client.serverReflectionInfo(requests())[Symbol.asyncIterator]();
  expect((await answers.next()).value?.messageResponse.case).toBe("listServicesResponse");
  const ended = answers.next().catch(ConnectError.from);
  await stop();
  expect(await ended).toMatchObject({ code: Code.Unavailable, rawMessage: "the server is stopping" });
  never.resolve();
});
