import type { JsonObject } from "@bufbuild/protobuf";
import { beforeAll, describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { runCli } from "../cli/run-cli.ts";
import { roleTokenSettings, roleTokens, type TestFile, testFile } from "../support/access-files.ts";
import { type CertificateAuthority, createCertificateAuthority } from "../support/certificates.ts";
import { logLines } from "../support/log-lines.ts";
import { operationIn, operationWhen } from "../support/operation-when.ts";
import { startScriptedHost } from "../support/scripted-host.ts";
import { connectTestClient } from "../support/test-client.ts";
import { startTestReplicas } from "../support/test-replicas.ts";
import { startTestServer, type TestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";
import { tlsDirectory } from "../support/tls-directory.ts";

const { PENDING, RUNNING, COMPLETED, CANCELLED } = OperationStatus;
const wrongToken = "wrong-token-0123456789";

let authority: CertificateAuthority;
beforeAll(async () => {
  authority = await createCertificateAuthority();
});

interface Chain {
  readonly host: TestServer;
  readonly gateway: TestServer;
  /** The file with the gateway's token for the host. */
  readonly callToken: TestFile;
  readonly lines: string[];
}

/** A host that takes TLS and tokens, and a gateway without either, which calls it with a token of its own. */
async function chain(token: string, now: () => number = Date.now): Promise<Chain> {
  const { settings } = await tlsDirectory(await authority.issue());
  const host = await startTestServer({
    orchestrators: [new TestServices()],
    settings: { ...settings, ...(await roleTokenSettings()) },
  });
  const callToken = await testFile("token", `${token}\n`);
  const { log, lines } = logLines();
  const gateway = await startTestServer({
    log,
    now,
    settings: {
      routes: { training: host.url },
      callTokenFile: callToken.path,
      callCaFile: (await testFile("ca.pem", authority.cert)).path,
    },
  });
  return { host, gateway, callToken, lines };
}

async function createTraining({ client }: TestServer, parameters: JsonObject = {}): Promise<string> {
  const { operation } = await client.createOperation({ operationType: "training", metadata: { parameters } });
  return operation?.operationId ?? "";
}

describe("a gateway in front of a host that wants to know who calls", () => {
  test("has its operations done, over TLS and with its own token", async () => {
    const { host, gateway } = await chain(roleTokens.admin);
    const operationId = await createTraining(gateway, { records: 5 });
    expect(await operationIn(gateway.client, operationId, COMPLETED)).toMatchObject({ host: host.url });
    expect(host.url).toMatch(/^https:/);
    expect((await gateway.client.getMetrics({ operationId })).newCursor).toBe(5n);
  });

  test("leaves what it may not hand over PENDING, says why, and hands it over once its token is mended", async () => {
    const { host, gateway, callToken, lines } = await chain(wrongToken);
    const operationId = await createTraining(gateway);
    const waiting = await operationWhen(gateway.client, operationId, ({ freshness }) => freshness?.stale === true);
    expect(waiting).toMatchObject({
      status: PENDING,
      freshness: { staleReason: expect.stringContaining("it does not accept the credentials of this server") },
    });
    callToken.write(roleTokens.admin);
    await operationIn(gateway.client, operationId, COMPLETED);
    const told = lines.filter((line) => line.includes(host.url));
    expect(told.filter((line) => line.includes("does not accept this server's credentials"))).toHaveLength(1);
    expect(told.filter((line) => line.includes("accepts this server's credentials again"))).toHaveLength(1);
    expect(lines.join("")).not.toContain(wrongToken);
  });

  test("shows what it may not ask about any more as stale, however long, and not as lost", async () => {
    const clock = { aheadMs: 0 };
    const { gateway, callToken } = await chain(roleTokens.admin, () => Date.now() + clock.aheadMs);
    const operationId = await createTraining(gateway, { hold: true });
    await operationIn(gateway.client, operationId, RUNNING);
    callToken.write(wrongToken);
    await operationWhen(gateway.client, operationId, ({ freshness }) => freshness?.stale === true);
    // Twice as long as a host may be silent before it counts as lost, at each look.
    for (let look = 0; look < 3; look++) {
      clock.aheadMs += 600_000;
      const { operation } = await gateway.client.getOperation({ operationId, maxStaleness: { seconds: 0n } });
      expect(operation).toMatchObject({
        status: RUNNING,
        freshness: { stale: true, staleReason: expect.stringContaining("does not accept the credentials") },
      });
    }
    callToken.write(roleTokens.admin);
    await operationWhen(gateway.client, operationId, ({ freshness }) => freshness?.stale === false);
    await gateway.client.cancelOperation({ operationId, reason: "done" });
    await operationIn(gateway.client, operationId, CANCELLED);
  });

  test("fails what its role at the host does not allow, with the host's reason", async () => {
    const { gateway } = await chain(roleTokens.viewer);
    const operation = await operationIn(gateway.client, await createTraining(gateway), OperationStatus.FAILED);
    expect(operation.error).toMatchObject({
      reason: "PERMISSION_DENIED",
      message: expect.stringContaining("CreateOperation needs the role operator"),
    });
  });

  test("never sends on what a caller has sent", async () => {
    const seen: (string | null)[] = [];
    const host = await startScriptedHost({
      createOperation: ({ operationId }, { requestHeader }) => {
        seen.push(requestHeader.get("authorization"), requestHeader.get("cookie"));
        return { operation: { operationId, status: COMPLETED } };
      },
      getOperation: ({ operationId }, { requestHeader }) => {
        seen.push(requestHeader.get("authorization"), requestHeader.get("cookie"));
        return { operation: { operationId, status: COMPLETED } };
      },
    });
    const access = await roleTokenSettings();
    for (const callTokenFile of ["", (await testFile("token", "own-token-0123456789")).path]) {
      const { url } = await startTestServer({ settings: { ...access, callTokenFile, routes: { training: host.url } } });
      const client = connectTestClient(url, { token: roleTokens.admin, headers: { cookie: "session=hunter2" } });
      const { operation } = await client.createOperation({ operationType: "training" });
      await operationIn(client, operation?.operationId ?? "", COMPLETED);
      expect(new Set(seen)).toEqual(new Set([callTokenFile === "" ? null : "Bearer own-token-0123456789", null]));
      seen.length = 0;
    }
  });

  test("does not start with a route that would have its token sent in plaintext", async () => {
    const { path: callTokenFile } = await testFile("token", roleTokens.admin);
    const settings = { callTokenFile, routes: { training: "http://gpu-1.test:50051" } };
    await expect(startTestServer({ settings })).rejects.toThrow(
      /training: .*gpu-1\.test:50051 in plaintext; use https/,
    );
    await startTestServer({ settings: { ...settings, insecure: true } });
  });

  test("does not start with credentials it cannot use, and names the file", async () => {
    const { path: broken } = await testFile("broken", "two words");
    const { cert, key } = await authority.issue();
    const { path: callCertificateFile } = await testFile("cert.pem", cert);
    const { path: otherKey } = await testFile("key.pem", (await authority.issue()).key);
    for (const [settings, problem] of [
      [{ callTokenFile: broken }, broken],
      [{ callTokenFile: `${broken}-missing` }, "does not exist"],
      [{ callCaFile: broken }, broken],
      [{ callCertificateFile }, "one of them is not set"],
      [{ callCertificateFile, callKeyFile: broken }, "no certificate and key"],
      [{ callCertificateFile, callKeyFile: otherKey }, "does not belong"],
    ] as const) {
      await expect(startTestServer({ settings })).rejects.toThrow(problem);
    }
    const { path: callKeyFile } = await testFile("key.pem", key);
    await startTestServer({ settings: { callCertificateFile, callKeyFile } });
  });
});

test("the command line calls a server with TLS, a token and a client certificate", async () => {
  const { settings } = await tlsDirectory(await authority.issue(), authority.cert);
  const { url } = await startTestServer({ settings: { ...settings, ...(await roleTokenSettings()) } });
  const { cert, key } = await authority.issue({ uris: ["spiffe://test/cli"] });
  const environment = {
    // By name: Node.js warns of grpc-js, which takes an address for a name in TLS.
    LONGHAUL_SERVER: url.replace("127.0.0.1", "localhost"),
    LONGHAUL_CALL_CA_FILE: (await testFile("ca.pem", authority.cert)).path,
    LONGHAUL_CALL_CERTIFICATE_FILE: (await testFile("cert.pem", cert)).path,
    LONGHAUL_CALL_KEY_FILE: (await testFile("key.pem", key)).path,
  };
  const { path: LONGHAUL_CALL_TOKEN_FILE } = await testFile("token", roleTokens.viewer);
  expect(await runCli(["list"], { ...environment, LONGHAUL_CALL_TOKEN_FILE })).toMatchObject({ code: 0, stderr: "" });
  const stranger = await runCli(["list"], environment);
  expect(stranger).toMatchObject({ code: 1, stderr: expect.stringContaining("spiffe://test/cli has no role") });
});

test("replicas call each other over TLS with a credential of their own", { timeout: 60_000 }, async () => {
  const { settings } = await tlsDirectory(await authority.issue());
  const { replicas } = await startTestReplicas(2, {
    ...settings,
    ...(await roleTokenSettings()),
    callTokenFile: (await testFile("token", roleTokens.admin)).path,
    callCaFile: (await testFile("ca.pem", authority.cert)).path,
  });
  const [a, b] = replicas.map(({ url }) => {
    return connectTestClient(url, { token: roleTokens.operator, rootCertificates: Buffer.from(authority.cert) });
  });
  if (!a || !b) throw new Error("there are no two replicas");
  const { operation } = await a.createOperation({
    operationType: "training",
    metadata: { parameters: { records: 3, hold: true } },
  });
  const operationId = operation?.operationId ?? "";
  const fresh = await operationWhen(b, operationId, ({ progress, freshness }) => {
    return progress?.stepsCompleted === 3n && freshness?.stale === false;
  });
  expect(fresh.status).toBe(RUNNING);
  await b.cancelOperation({ operationId, reason: "from the other one" });
  await operationIn(a, operationId, CANCELLED);
});
