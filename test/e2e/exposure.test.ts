import { describe, expect, test } from "vitest";
import { runCli, startCli } from "../cli/run-cli.ts";
import { roleTokenSettings } from "../support/access-files.ts";
import { createCertificateAuthority } from "../support/certificates.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { startTestServer } from "../support/test-server.ts";
import { tlsDirectory } from "../support/tls-directory.ts";

describe("a server on all addresses", () => {
  test("does not start without TLS and authentication, and says what is missing and the ways out", async () => {
    const result = await runCli(["serve", "--listen-host", "0.0.0.0", "--port", "0"]);
    expect(result).toMatchObject({ code: 1, stdout: "" });
    for (const named of ["0.0.0.0", "TLS", "authentication", "tlsCertFile", "accessPolicyFile", "--insecure"]) {
      expect(result.stderr).toContain(named);
    }
  });

  test("starts with both", async () => {
    const { settings } = await tlsDirectory(await (await createCertificateAuthority()).issue());
    const access = await roleTokenSettings();
    const { url } = await startTestServer({ settings: { listenHost: "0.0.0.0", ...settings, ...access } });
    expect(url).toMatch(/^https:/);
  });

  test.each(["flag", "variable"])("starts without when it is told that the network is trusted, by %s", async (how) => {
    const args = ["serve", "--listen-host", "::", "--port", "0", "--data-dir", await temporaryDirectory()];
    const command = how === "flag" ? startCli([...args, "--insecure"]) : startCli(args, { LONGHAUL_INSECURE: "true" });
    expect(await command.line("listening")).toContain("http://");
  });
});
