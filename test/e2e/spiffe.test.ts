import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { beforeAll, describe, expect, test } from "vitest";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { roleTokens, testFile } from "../support/access-files.ts";
import {
  type CertificateAuthority,
  type CertificatePair,
  createCertificateAuthority,
} from "../support/certificates.ts";
import { startTestServer } from "../support/test-server.ts";
import { tlsDirectory } from "../support/tls-directory.ts";

let authority: CertificateAuthority;
let server: CertificatePair;
beforeAll(async () => {
  authority = await createCertificateAuthority();
  server = await authority.issue();
});

/** A server that asks for client certificates and does not insist. */
async function startServer(): Promise<string> {
  const { settings } = await tlsDirectory(server, authority.cert);
  const bindings = [
    { role: "viewer", spiffeIds: ["spiffe://test/viewers/*"] },
    { role: "admin", spiffeIds: ["spiffe://test/admin"], tokens: ["admin"] },
    { role: "viewer", tokens: ["viewer"] },
  ];
  const tokens = Object.entries(roleTokens).map(([name, token]) => ({ name, token }));
  const { url } = await startTestServer({
    settings: {
      ...settings,
      tlsClientAuth: "optional",
      accessPolicyFile: (await testFile("policy.json", { bindings })).path,
      tokensFile: (await testFile("tokens.json", { tokens })).path,
    },
  });
  return url;
}

const transports: [string, (baseUrl: string, own: object) => Transport][] = [
  ["HTTP/2", (baseUrl, own) => createGrpcTransport({ baseUrl, nodeOptions: { ca: authority.cert, ...own } })],
  [
    "HTTP/1.1",
    (baseUrl, own) => {
      const nodeOptions = { ca: authority.cert, ...own };
      return createConnectTransport({ baseUrl, httpVersion: "1.1", nodeOptions });
    },
  ],
];

describe.each(transports)("over %s", (_version, transportOf) => {
  /** What a viewer's call and an admin's call are answered with. */
  async function answers(url: string, own: object, token?: string): Promise<string[]> {
    const client = createClient(OperationsService, transportOf(url, own));
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const calls = [
      client.countOperations({}, { headers }),
      client.cancelOperations({ filter: { operationTypes: ["training"] }, reason: "why" }, { headers }),
    ];
    const settled = await Promise.allSettled(calls);
    return settled.map((one) => (one.status === "fulfilled" ? "ok" : String(one.reason)));
  }

  test("the SPIFFE id of a verified certificate names the caller", async () => {
    const url = await startServer();
    const named = (...uris: string[]) => authority.issue({ uris });
    expect(await answers(url, await named("spiffe://test/viewers/ada"))).toEqual([
      "ok",
      expect.stringContaining("spiffe://test/viewers/ada has viewer"),
    ]);
    expect(await answers(url, await named("spiffe://test/admin"))).toEqual(["ok", "ok"]);
    const stranger = expect.stringContaining("spiffe://test/other has no role");
    expect(await answers(url, await named("spiffe://test/other"))).toEqual([stranger, stranger]);
    const nobody = expect.stringContaining("does not name exactly one SPIFFE id");
    expect(await answers(url, await named())).toEqual([nobody, nobody]);
    expect(await answers(url, await named("spiffe://test/admin", "spiffe://test/viewers/a"))).toEqual([nobody, nobody]);
  });

  test("a certificate of another authority counts for nothing", async () => {
    const url = await startServer();
    const other = await createCertificateAuthority();
    const forged = await other.issue({ uris: ["spiffe://test/admin"] });
    // The connection is cut off; what the certificate says is never looked at.
    const cutOff = expect.stringMatching(/\[(canceled|aborted|unavailable)\]/);
    expect(await answers(url, forged)).toEqual([cutOff, cutOff]);
    const none = expect.stringContaining("carries no credential");
    expect(await answers(url, {})).toEqual([none, none]);
  });

  test("a token decides alone, whatever the certificate says", async () => {
    const url = await startServer();
    const admin = await authority.issue({ uris: ["spiffe://test/admin"] });
    const denied = expect.stringContaining("token:viewer has viewer");
    expect(await answers(url, admin, roleTokens.viewer)).toEqual(["ok", denied]);
    const wrong = expect.stringContaining("the token is not valid");
    expect(await answers(url, admin, "not-a-token-of-this-server")).toEqual([wrong, wrong]);
    const viewer = await authority.issue({ uris: ["spiffe://test/viewers/ada"] });
    expect(await answers(url, viewer, roleTokens.admin)).toEqual(["ok", "ok"]);
  });
});
