import { createClient } from "@connectrpc/connect";
import { expect, onTestFinished, test } from "vitest";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { createClientCredentials } from "../../src/client/client-credentials.ts";
import { createGrpcJsTransport } from "../../src/client/grpc-transport.ts";
import { testFile } from "../support/access-files.ts";
import { createCertificateAuthority } from "../support/certificates.ts";
import { logLines } from "../support/log-lines.ts";
import { startTestServer } from "../support/test-server.ts";
import { tlsDirectory } from "../support/tls-directory.ts";

const unset = { callTokenFile: "", callCertificateFile: "", callKeyFile: "", callCaFile: "", insecure: false };

test("a client certificate that is replaced counts for new connections", async () => {
  const authority = await createCertificateAuthority();
  const { settings } = await tlsDirectory(await authority.issue(), authority.cert);
  const { path: accessPolicyFile } = await testFile("policy.json", {
    bindings: [{ role: "viewer", spiffeIds: ["spiffe://test/none"] }],
  });
  const { url } = await startTestServer({ settings: { ...settings, accessPolicyFile } });
  const first = await authority.issue({ uris: ["spiffe://test/first"] });
  const second = await authority.issue({ uris: ["spiffe://test/second"] });
  const cert = await testFile("cert.pem", first.cert);
  const key = await testFile("key.pem", first.key);
  const ca = await testFile("ca.pem", authority.cert);
  const clock = { nowMs: 0 };
  const { log, lines } = logLines();
  const files = { ...unset, callCertificateFile: cert.path, callKeyFile: key.path, callCaFile: ca.path };
  const credentials = createClientCredentials(files, log, () => clock.nowMs);
  /** The name under which the server knows a new connection. */
  const nameOfNew = async () => {
    const transport = createGrpcJsTransport({ baseUrl: url, credentials });
    onTestFinished(() => transport.close());
    const refusal = await createClient(OperationsService, transport).listOperations({}).catch(String);
    return /spiffe:\/\/test\/\w+/.exec(String(refusal))?.[0];
  };
  expect(await nameOfNew()).toBe("spiffe://test/first");
  // Half of a new pair is no pair; the one before stays.
  cert.write(second.cert);
  clock.nowMs += 1_000;
  expect(await nameOfNew()).toBe("spiffe://test/first");
  expect(lines.join("")).toContain("the key does not belong to the certificate");
  key.write(second.key);
  clock.nowMs += 1_000;
  expect(await nameOfNew()).toBe("spiffe://test/second");
});

test("a server that no known authority vouches for is not called", async () => {
  const authority = await createCertificateAuthority();
  const { settings } = await tlsDirectory(await authority.issue());
  const { url } = await startTestServer({ settings });
  const other = await createCertificateAuthority();
  const { path: callCaFile } = await testFile("ca.pem", other.cert);
  const { path: callTokenFile } = await testFile("token", "own-token-0123456789");
  for (const files of [
    { ...unset, callCaFile, callTokenFile },
    { ...unset, callTokenFile },
  ]) {
    const credentials = createClientCredentials(files, logLines().log);
    const transport = createGrpcJsTransport({ baseUrl: url, credentials });
    onTestFinished(() => transport.close());
    await expect(createClient(OperationsService, transport).listOperations({})).rejects.toThrow(
      /certificate|signature/i,
    );
  }
});

test("a token is sent in plaintext on loopback only, unless the network is said to be trusted", async () => {
  const { path: callTokenFile } = await testFile("token", "own-token-0123456789");
  const whyNot = (url: string, files: object = {}) =>
    createClientCredentials({ ...unset, callTokenFile, ...files }, logLines().log).whyNotTo(new URL(url));
  for (const url of ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "https://registry.test"]) {
    expect(whyNot(url)).toBeUndefined();
  }
  for (const url of ["http://10.0.0.7:1", "http://registry.test", "http://localhost.evil.test", "http://[fe80::1]:1"]) {
    expect(whyNot(url)).toContain("in plaintext");
    expect(whyNot(url, { insecure: true })).toBeUndefined();
    expect(whyNot(url, { callTokenFile: "" })).toBeUndefined();
  }
  const credentials = createClientCredentials({ ...unset, callTokenFile }, logLines().log);
  const transport = createGrpcJsTransport({ baseUrl: "http://registry.test:1", credentials });
  onTestFinished(() => transport.close());
  await expect(createClient(OperationsService, transport).listOperations({})).rejects.toThrow(/in plaintext/);
});
