import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import {
  CountOperationsRequestSchema,
  CountOperationsResponseSchema,
  OperationsService,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import { createGrpcJsTransport } from "../../src/client/grpc-transport.ts";
import {
  type CertificateAuthority,
  type CertificatePair,
  createCertificateAuthority,
} from "../support/certificates.ts";
import { startTestServer } from "../support/test-server.ts";
import { tlsDirectory } from "../support/tls-directory.ts";

let authority: CertificateAuthority;
let server: CertificatePair;
let client: CertificatePair;
beforeAll(async () => {
  authority = await createCertificateAuthority();
  server = await authority.issue();
  client = await authority.issue({ dns: [], ip: [], uris: ["spiffe://test/client"] });
});

async function secureServer({ mutual }: { readonly mutual: boolean }): Promise<{ url: string; port: number }> {
  const { settings } = await tlsDirectory(server, mutual ? authority.cert : undefined);
  return startTestServer({ settings });
}

/** One call over grpc-js, as its users make it. */
async function countOverGrpc(url: string, own?: CertificatePair): Promise<bigint> {
  const keys = own && ([Buffer.from(own.key), Buffer.from(own.cert)] as const);
  const channel = new Client(new URL(url).host, credentials.createSsl(Buffer.from(authority.cert), ...(keys ?? [])));
  onTestFinished(() => channel.close());
  return new Promise((resolve, reject) => {
    channel.makeUnaryRequest(
      "/longhaul.v1.OperationsService/CountOperations",
      (message) => Buffer.from(toBinary(CountOperationsRequestSchema, message)),
      (bytes) => fromBinary(CountOperationsResponseSchema, bytes),
      create(CountOperationsRequestSchema),
      { deadline: Date.now() + 10_000 },
      (error: ServiceError | null, answer) => (answer ? resolve(answer.total) : reject(error)),
    );
  });
}

async function count(transport: Transport): Promise<bigint> {
  return (await createClient(OperationsService, transport).countOperations({})).total;
}

/** One call as curl makes it. */
async function countAsJson(port: number, own?: CertificatePair): Promise<unknown> {
  const call = request({
    method: "POST",
    host: "127.0.0.1",
    port,
    path: "/longhaul.v1.OperationsService/CountOperations",
    headers: { "content-type": "application/json" },
    agent: false,
    ca: authority.cert,
    ...own,
  });
  call.end("{}");
  const [response] = (await once(call, "response")) as [IncomingMessage];
  return JSON.parse(Buffer.concat(await response.toArray()).toString());
}

describe.each([{ mutual: false }, { mutual: true }])("over TLS (client certificates: $mutual)", ({ mutual }) => {
  const own = () => (mutual ? client : undefined);

  test("every protocol and HTTP version is served on the one port", async () => {
    const { url, port } = await secureServer({ mutual });
    expect(url).toBe(`https://127.0.0.1:${port}`);
    const nodeOptions = { ca: authority.cert, ...own() };
    expect(await countOverGrpc(url, own())).toBe(0n);
    for (const httpVersion of ["1.1", "2"] as const) {
      for (const createTransport of [createConnectTransport, createGrpcWebTransport]) {
        const transport = createTransport({ baseUrl: url, httpVersion, nodeOptions } as never);
        expect(await count(transport)).toBe(0n);
      }
    }
    expect(await count(createGrpcTransport({ baseUrl: url, nodeOptions }))).toBe(0n);
    expect(await countAsJson(port, own())).toEqual({});
  });

  test("a client that does not trust the server's authority, or speaks no TLS, gets nothing", async () => {
    const { url, port } = await secureServer({ mutual });
    const transport = createGrpcJsTransport({ baseUrl: url, defaultTimeoutMs: 500 });
    onTestFinished(() => transport.close());
    await expect(count(transport)).rejects.toThrow();
    await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow();
    expect(await countOverGrpc(url, own())).toBe(0n);
  });
});

test("where client certificates are required, a client without one or with a stranger's gets nothing", async () => {
  const { url, port } = await secureServer({ mutual: true });
  const stranger = await (await createCertificateAuthority("another one")).issue();
  for (const own of [undefined, stranger]) {
    await expect(countOverGrpc(url, own)).rejects.toMatchObject({ code: 14 });
    await expect(countAsJson(port, own)).rejects.toThrow();
  }
  expect(await countOverGrpc(url, client)).toBe(0n);
});

test("a start with files that cannot be used ends with their name", async () => {
  const { settings } = await tlsDirectory(server);
  await expect(startTestServer({ settings: { ...settings, tlsKeyFile: "/no/such.pem" } })).rejects.toThrow(
    "tlsKeyFile: /no/such.pem does not exist",
  );
});
