import { roleTokenSettings, roleTokens, testFile } from "../support/access-files.ts";
import { createCertificateAuthority } from "../support/certificates.ts";
import { startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import type { TestSettings } from "../support/test-config.ts";
import { tlsDirectory } from "../support/tls-directory.ts";

/** A server to call. */
export interface Target {
  /** host:port */
  readonly address: string;
  /** With TLS and authentication: the authority of its certificate, as a PEM file, and a token that it accepts. */
  readonly secure?: { readonly caFile: string; readonly token: string };
}

/** Starts a server as it is by default. It is killed when the running test ends. */
export async function plaintextTarget(settings: TestSettings = {}): Promise<Target> {
  const { port } = await startServerProcess(await temporaryDirectory(), settings);
  return { address: `127.0.0.1:${port}` };
}

/** Starts a server with TLS that asks its callers for a token. It is killed when the running test ends. */
export async function secureTarget(settings: TestSettings = {}): Promise<Target> {
  const authority = await createCertificateAuthority();
  const tls = await tlsDirectory(await authority.issue());
  const access = await roleTokenSettings();
  const { address } = await plaintextTarget({ ...tls.settings, ...access, ...settings });
  const { path: caFile } = await testFile("ca.pem", authority.cert);
  return { address, secure: { caFile, token: roleTokens.operator } };
}
