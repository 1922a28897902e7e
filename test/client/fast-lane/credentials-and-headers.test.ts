import { TLSSocket } from "node:tls";
import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { createClientCredentials } from "../../../src/client/client-credentials.ts";
import { withFastLane } from "../../../src/client/fast-lane/fast-lane.ts";
import { createGrpcJsTransport } from "../../../src/client/grpc-transport.ts";
import { testFile } from "../../support/access-files.ts";
import { createCertificateAuthority } from "../../support/certificates.ts";
import { logLines } from "../../support/log-lines.ts";
import { answer, startRawHost } from "./raw-host.ts";
import { callerOf, good } from "./two-ways.ts";

describe("what a call carries", () => {
  test("headers that are plain text; calls with others are left to grpc-js", async () => {
    const host = await startRawHost();
    const caller = await callerOf(host, "fast lane");
    host.play((stream) => answer(stream));
    await caller.get({ headers: { "longhaul-via": "a,b", traceparent: "00-1-2-01" } });
    await caller.get({ headers: { "x-bytes-bin": "AAEC" } });
    await caller.get({ headers: { "x-spaced": " x " } });
    await caller.get({ headers: new Headers({ "x-text": "y" }) });
    expect(await caller.get({ headers: { "x-name": "Zoë" } })).toMatchObject({ code: Code.InvalidArgument });
    expect(host.arrived).toMatchObject([
      { way: "fast lane", headers: { "longhaul-via": "a,b", traceparent: "00-1-2-01", te: "trailers" } },
      { way: "grpc-js", headers: { "x-bytes-bin": "AAEC" } },
      { way: "grpc-js" },
      { way: "grpc-js", headers: { "x-text": "y" } },
    ]);
  });

  test("the token and the client certificate, over TLS", async () => {
    const authority = await createCertificateAuthority();
    const server = await authority.issue();
    const client = await authority.issue({ uris: ["spiffe://test/gateway"] });
    const host = await startRawHost({ ...server, ca: authority.cert, requestCert: true, rejectUnauthorized: true });
    const files = {
      callTokenFile: (await testFile("token", "own-token-0123456789")).path,
      callCertificateFile: (await testFile("cert.pem", client.cert)).path,
      callKeyFile: (await testFile("key.pem", client.key)).path,
      callCaFile: (await testFile("ca.pem", authority.cert)).path,
      insecure: false,
    };
    const caller = await callerOf(host, "fast lane", { credentials: createClientCredentials(files, logLines().log) });
    let name: string | undefined;
    host.play((stream) => {
      const { socket } = stream.session ?? {};
      name = socket instanceof TLSSocket ? socket.getPeerCertificate().subjectaltname : undefined;
      answer(stream);
    });
    expect(await caller.get()).toEqual(good);
    expect(host.arrived).toMatchObject([
      { way: "fast lane", headers: { authorization: "Bearer own-token-0123456789" } },
    ]);
    expect(name).toContain("URI:spiffe://test/gateway");
  });

  test("no token in plaintext off loopback: there is no lane then", async () => {
    const callTokenFile = (await testFile("token", "own-token-0123456789")).path;
    const none = { callCertificateFile: "", callKeyFile: "", callCaFile: "", insecure: false };
    const credentials = createClientCredentials({ ...none, callTokenFile }, logLines().log);
    const options = { baseUrl: "http://registry.test:1", credentials, methods: [] };
    const transport = createGrpcJsTransport(options);
    expect(withFastLane(transport, options)).toBe(transport);
  });
});
