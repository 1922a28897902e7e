import { ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { runCli, startCli } from "../cli/run-cli.ts";
import { testFile } from "../support/access-files.ts";
import { createCertificateAuthority } from "../support/certificates.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { connectTestClient } from "../support/test-client.ts";
import { tlsDirectory } from "../support/tls-directory.ts";
import { startTokenIssuer } from "../support/token-issuer.ts";

const secrets = {
  staticToken: "SECRET-static-token-1",
  brokenToken: "SECRET-static-token-2",
  ownToken: "SECRET-own-token-3",
  garbage: "SECRET-garbage-4",
  basic: "SECRET-basic-5",
  twoTokens: "SECRET-first-6, Bearer SECRET-second-7",
  password: "SECRET-password-8",
  cookie: "SECRET-cookie-9",
};

/** The lines of a key that say something. */
function keyLines(pem: string): string[] {
  return pem.split("\n").filter((line) => line.length > 20 && !line.includes("-----"));
}

test("no secret of the server or its callers is in a log at the finest level, or in an answer", {
  timeout: 60_000,
}, async () => {
  const issuer = await startTokenIssuer();
  const authority = await createCertificateAuthority();
  const pair = await authority.issue();
  const client = await authority.issue({ uris: ["spiffe://test/server"] });
  const { settings: tls } = await tlsDirectory(pair, authority.cert);
  const tokens = await testFile("tokens.json", { tokens: [{ name: "ci", token: secrets.staticToken }] });
  const policy = { bindings: [{ role: "admin", tokens: ["ci"], subjects: ["ada"], spiffeIds: ["spiffe://test/*"] }] };
  const jwts = {
    good: await issuer.token(),
    stranger: await issuer.token({ sub: "grace" }),
    expired: await issuer.token({ exp: 1 }),
    audience: await issuer.token({ aud: "another" }),
    confused: await issuer.confusedToken(),
  };
  const command = startCli(["serve", "--port", "0", "--log-level", "trace", "--data-dir", await temporaryDirectory()], {
    LONGHAUL_TLS_CERT_FILE: tls.tlsCertFile,
    LONGHAUL_TLS_KEY_FILE: tls.tlsKeyFile,
    LONGHAUL_TLS_CLIENT_CA_FILE: tls.tlsClientCaFile,
    LONGHAUL_TLS_CLIENT_AUTH: "optional",
    LONGHAUL_JWKS_URL: issuer.settings.jwksUrl,
    LONGHAUL_JWT_ISSUER: issuer.settings.jwtIssuer,
    LONGHAUL_JWT_AUDIENCE: issuer.settings.jwtAudience,
    LONGHAUL_TOKENS_FILE: tokens.path,
    LONGHAUL_ACCESS_POLICY_FILE: (await testFile("policy.json", policy)).path,
    LONGHAUL_CALL_TOKEN_FILE: (await testFile("token", secrets.ownToken)).path,
    LONGHAUL_CALL_CERTIFICATE_FILE: (await testFile("cert.pem", client.cert)).path,
    LONGHAUL_CALL_KEY_FILE: (await testFile("key.pem", client.key)).path,
    USE_TRAINING_HOST_SERVICE: "true",
    // Nobody is there: what is dispatched fails, and is told of.
    TRAINING_HOST_SERVICE_URL: "https://127.0.0.1:1",
  });
  const { url } = JSON.parse(await command.line("listening")) as { url: string };
  const as = (authorization: string | undefined) =>
    connectTestClient(url, {
      rootCertificates: Buffer.from(authority.cert),
      headers: { cookie: secrets.cookie, ...(authorization !== undefined && { authorization }) },
    });
  const answers: string[] = [];
  const note = async (call: Promise<unknown>) => {
    const error = await call.then(
      () => undefined,
      (thrown: unknown) => ConnectError.from(thrown),
    );
    if (error) {
      const details = error.details.map((one) =>
        "value" in one ? Buffer.from(one.value as Uint8Array).toString() : "",
      );
      answers.push(error.message, ...details, ...[...error.metadata].flat());
    }
  };
  for (const authorization of [
    undefined,
    `Bearer ${secrets.staticToken}`,
    `Bearer ${secrets.garbage}`,
    `Basic ${secrets.basic}`,
    `Bearer ${secrets.twoTokens}`,
    secrets.garbage,
    ...Object.values(jwts).map((token) => `Bearer ${token}`),
    `Bearer ${jwts.good.slice(0, -4)}`,
  ]) {
    const caller = as(authorization);
    await note(caller.listOperations({}));
    await note(caller.getOperation({ operationId: "op_never" }));
    await note(caller.createOperation({ operationType: "training" }));
    await note(caller.createOperation({ operationType: "unknown" }));
  }
  expect(answers.length).toBeGreaterThan(20);
  issuer.setDown(true);
  await issuer.rotate();
  tokens.write(`[${secrets.brokenToken}]`);
  const admin = as(`Bearer ${secrets.staticToken}`);
  const isTold = command.line("has changed and cannot be used").then(() => true);
  while (!(await Promise.race([isTold, admin.listOperations({}).then(() => false)])));
  command.kill("SIGTERM");
  const { stdout, stderr } = await command.result;

  const parts = [
    // What all of the above begin with, for a part of one would be too much as well.
    "SECRET",
    ...Object.values(jwts).flatMap((token) => [token, token.split(".")[2] ?? token]),
    ...keyLines(pair.key),
    ...keyLines(client.key),
  ];
  expect(stderr).toContain('"msg":"stopped"');
  for (const secret of parts) {
    expect(stdout).not.toContain(secret);
    expect(stderr).not.toContain(secret);
    expect(answers.join("\n")).not.toContain(secret);
  }
});

test("a database password is in no refusal to start, and not in what --print-config prints", {
  timeout: 60_000,
}, async () => {
  const LONGHAUL_DATABASE_URL = `postgres://ada:${secrets.password}@127.0.0.1:1/longhaul`;
  const runs = await Promise.all([
    runCli(["serve", "--log-level", "trace", "--port", "0"], { LONGHAUL_DATABASE_URL }),
    runCli(["serve", "--print-config"], { LONGHAUL_DATABASE_URL }),
    runCli(["serve", "--database-url", LONGHAUL_DATABASE_URL.replace("postgres:", "mysql:")]),
    runCli(["serve", "--jwks-url", `https://ada:${secrets.password}@keys.test/`]),
    runCli(["list", "--server", `http://ada:${secrets.password}@127.0.0.1:1`]),
  ]);
  expect(runs.map(({ code }) => code)).toEqual([1, 0, 2, 2, 2]);
  for (const { stdout, stderr } of runs) {
    expect(stdout + stderr).not.toContain(secrets.password);
    expect(stdout + stderr).not.toBe("");
  }
});
