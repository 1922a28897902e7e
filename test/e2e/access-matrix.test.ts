import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Code, ConnectError, createConnectRouter, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { methodAccess } from "../../src/access/method-access.ts";
import { HealthState } from "../../src/rpc/health-state.ts";
import { createOwnServices, createRoutes } from "../../src/rpc/routes.ts";
import { testFile } from "../support/access-files.ts";
import { documentedRoles } from "../support/role-table.ts";
import { connectTestClient, type OperationsClient } from "../support/test-client.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";
import { startTokenIssuer, type TokenIssuer } from "../support/token-issuer.ts";

/** An RPC as the matrix calls it. */
interface Sample {
  /** A request about an operation that has failed, of tenant a. */
  readonly request: (operationId: string) => MessageInitShape<DescMessage>;
  /** What an admin of tenant b gets: a code, or what the answer must have in it. */
  readonly otherTenant: keyof typeof Code | object;
}

const reason = "the matrix";
const labels = { tenant: "a" };

/** Every RPC that is served must be here. */
const samples: Readonly<Record<string, Sample>> = {
  "longhaul.v1.OperationsService/CreateOperation": {
    request: () => ({ operationType: "training", labels }),
    otherTenant: "PermissionDenied",
  },
  "longhaul.v1.OperationsService/GetOperation": {
    request: (operationId) => ({ operationId }),
    otherTenant: "NotFound",
  },
  "longhaul.v1.OperationsService/BatchGetOperations": {
    request: (operationId) => ({ operations: [{ operationId }] }),
    otherTenant: { operations: [], notFound: [expect.any(String)] },
  },
  "longhaul.v1.OperationsService/WaitOperation": {
    request: (operationId) => ({ operationId, timeout: { seconds: 1n } }),
    otherTenant: "NotFound",
  },
  "longhaul.v1.OperationsService/ListOperations": { request: () => ({}), otherTenant: { operations: [] } },
  "longhaul.v1.OperationsService/CountOperations": { request: () => ({}), otherTenant: { total: 0n, byType: {} } },
  "longhaul.v1.OperationsService/CancelOperation": {
    request: (operationId) => ({ operationId, reason }),
    otherTenant: "NotFound",
  },
  "longhaul.v1.OperationsService/CancelOperations": {
    request: () => ({ filter: { statuses: [OperationStatus.RUNNING] }, reason }),
    otherTenant: { cancelledCount: 0 },
  },
  "longhaul.v1.OperationsService/RetryOperation": {
    request: (operationId) => ({ operationId }),
    otherTenant: "NotFound",
  },
  "longhaul.v1.OperationsService/DeleteOperation": {
    request: (operationId) => ({ operationId }),
    otherTenant: "NotFound",
  },
  "longhaul.v1.OperationsService/GetMetrics": {
    request: (operationId) => ({ operationId }),
    otherTenant: "NotFound",
  },
  "google.longrunning.Operations/GetOperation": {
    request: (operationId) => ({ name: `operations/${operationId}` }),
    otherTenant: "NotFound",
  },
  "google.longrunning.Operations/ListOperations": {
    request: () => ({ name: "operations" }),
    otherTenant: { operations: [] },
  },
  "google.longrunning.Operations/WaitOperation": {
    request: (operationId) => ({ name: `operations/${operationId}`, timeout: { seconds: 1n } }),
    otherTenant: "NotFound",
  },
  "google.longrunning.Operations/CancelOperation": {
    request: (operationId) => ({ name: `operations/${operationId}` }),
    otherTenant: "NotFound",
  },
  "google.longrunning.Operations/DeleteOperation": {
    request: (operationId) => ({ name: `operations/${operationId}` }),
    otherTenant: "NotFound",
  },
  "grpc.health.v1.Health/Check": { request: () => ({}), otherTenant: {} },
  "grpc.health.v1.Health/Watch": { request: () => ({}), otherTenant: {} },
  "grpc.health.v1.Health/List": { request: () => ({}), otherTenant: {} },
  "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": {
    request: () => ({ messageRequest: { case: "listServices", value: "" } }),
    otherTenant: {},
  },
  "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": {
    request: () => ({ messageRequest: { case: "listServices", value: "" } }),
    otherTenant: {},
  },
};

/** The `authorization` header of each kind of caller; undefined sends none. */
const credentials: Readonly<Record<string, (issuer: TokenIssuer) => Promise<string> | undefined>> = {
  none: () => undefined,
  garbage: async () => "not-a-token",
  expired: (issuer) => issuer.token({ exp: Math.floor(Date.now() / 1_000) - 3_600 }),
  "wrong audience": (issuer) => issuer.token({ aud: "another-service" }),
  "wrong issuer": (issuer) => issuer.token({ iss: "https://elsewhere.test" }),
  "wrong algorithm": (issuer) => issuer.confusedToken({ groups: ["admins"] }),
  "no role": (issuer) => issuer.token({ groups: ["guests"] }),
  viewer: (issuer) => issuer.token({ groups: ["viewers"] }),
  operator: (issuer) => issuer.token({ groups: ["operators"] }),
  admin: (issuer) => issuer.token({ groups: ["admins"] }),
  "other tenant": (issuer) => issuer.token({ groups: ["tenant-b"] }),
};

/** The ways to the port, among them those that its fast lane does not take; HTTP/1.1 has no calls with two streams. */
const protocols: readonly {
  readonly protocol: string;
  readonly connect: (baseUrl: string) => Transport;
  readonly isHttp1?: boolean;
}[] = [
  { protocol: "gRPC", connect: (baseUrl) => createGrpcTransport({ baseUrl }) },
  {
    protocol: "gRPC-Web",
    connect: (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
    isHttp1: true,
  },
  {
    protocol: "Connect, by GET where that may be",
    connect: (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1", useHttpGet: true }),
    isHttp1: true,
  },
];

const policy = {
  bindings: [
    { role: "viewer", claim: { path: "groups", values: ["viewers"] } },
    { role: "operator", claim: { path: "groups", values: ["operators"] } },
    { role: "admin", claim: { path: "groups", values: ["admins"] } },
    { role: "admin", claim: { path: "groups", values: ["tenant-b"] }, labels: { tenant: "b" } },
  ],
};

/** What the port serves, as the edge itself registers it. */
function servedMethods(): DescMethod[] {
  const router = createConnectRouter();
  const operationsFor = () => {
    throw new Error("nothing is called");
  };
  createRoutes(createOwnServices(operationsFor), {
    health: new HealthState(),
    stopping: new AbortController().signal,
    reflection: true,
  })(router);
  return router.handlers.map(({ method }) => method);
}

function nameOf({ parent, name }: DescMethod): string {
  return `${parent.typeName}/${name}`;
}

/** What the page on security promises. */
function documentedAnswer(credential: string, needed: string | undefined, { otherTenant }: Sample): unknown {
  const ranks = ["viewer", "operator", "admin"];
  if (needed === "none") {
    return {};
  }
  if (credential === "other tenant") {
    return otherTenant;
  }
  if (credential === "no role") {
    return "PermissionDenied";
  }
  if (!ranks.includes(credential)) {
    return "Unauthenticated";
  }
  return ranks.indexOf(credential) >= ranks.indexOf(needed ?? "") ? {} : "PermissionDenied";
}

/** Calls a method and answers its first message, or the name of the code it was refused with. */
async function call(
  transport: Transport,
  method: DescMethod,
  message: MessageShape<DescMessage>,
  token: string | undefined,
): Promise<unknown> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const over = new AbortController();
  try {
    if (method.methodKind === "unary") {
      return (await transport.unary(method as DescMethodUnary, undefined, 5_000, headers, message)).message;
    }
    const requests = (async function* () {
      yield message;
    })();
    const { message: answers } = await transport.stream(
      method as DescMethodStreaming,
      over.signal,
      5_000,
      headers,
      requests,
    );
    for await (const answer of answers) {
      return answer;
    }
    return undefined;
  } catch (error) {
    return Code[ConnectError.from(error).code];
  } finally {
    over.abort();
  }
}

/** An operation of tenant a that has failed, so that every method has something to do with it. */
async function failedOperation(client: OperationsClient): Promise<string> {
  const metadata = { parameters: { error: "for the matrix", records: 0 } };
  const { operation } = await client.createOperation({ operationType: "training", labels, metadata });
  const operationId = operation?.operationId ?? "";
  await client.waitOperation({ operationId, untilDone: true });
  return operationId;
}

describe("every RPC that is served", () => {
  const methods = servedMethods();

  test("has a sample, an entry in the table and one on the page about security", () => {
    const names = methods.map(nameOf);
    expect(names.length).toBeGreaterThan(10);
    expect(new Set(names).difference(new Set(Object.keys(samples)))).toEqual(new Set());
    expect(new Set(names).difference(new Set(Object.keys(methodAccess)))).toEqual(new Set());
  });

  test.each(methods.map((method) => [nameOf(method), method] as const))(
    "answers every kind of caller as documented, over every protocol: %s",
    async (name, method) => {
      const issuer = await startTokenIssuer();
      const { path: accessPolicyFile } = await testFile("policy.json", policy);
      const { url } = await startTestServer({
        orchestrators: [new TestServices()],
        settings: { ...issuer.settings, accessPolicyFile },
      });
      const admin = connectTestClient(url, { token: await issuer.token({ groups: ["admins"] }) });
      const sample = samples[name];
      if (!sample) throw new Error(`${name} has no sample`);
      for (const { protocol, connect } of protocols.filter(
        ({ isHttp1 }) => !isHttp1 || method.methodKind !== "bidi_streaming",
      )) {
        const transport = connect(url);
        for (const [credential, tokenOf] of Object.entries(credentials)) {
          const request = create(method.input, sample.request(await failedOperation(admin)));
          const answer = await call(transport, method, request, await tokenOf(issuer));
          const expected = documentedAnswer(credential, documentedRoles().get(name), sample);
          expect({ protocol, credential, answer }).toEqual({
            protocol,
            credential,
            answer: typeof expected === "string" ? expected : expect.objectContaining(expected as object),
          });
        }
      }
    },
  );
});

test("the table of the page about security is the table of the code", () => {
  const code = Object.entries(methodAccess).map(([name, access]) => [name, access === "everybody" ? "none" : access]);
  expect(documentedRoles()).toEqual(new Map(code as [string, string][]));
});
