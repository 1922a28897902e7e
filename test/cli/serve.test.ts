import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { connectTestClient } from "../support/test-client.ts";
import { type CliProcess, runCli, startCli } from "./run-cli.ts";

const testServices = fileURLToPath(new URL("../support/test-services.ts", import.meta.url));
const stubbornServices = fileURLToPath(new URL("./stubborn-services.ts", import.meta.url));

async function startServing(services: string): Promise<{ command: CliProcess; url: string }> {
  const dataDir = await temporaryDirectory();
  const command = startCli(["serve", "--port", "0", "--data-dir", dataDir, "--services", services]);
  const line = await command.line("listening");
  return { command, url: String(JSON.parse(line).url) };
}

describe("serve", () => {
  test("logs where it listens, serves, and stops cleanly at SIGTERM", async () => {
    const { command, url } = await startServing(testServices);
    const client = connectTestClient(url);
    const { operation } = await client.createOperation({
      operationType: "training",
      metadata: { parameters: { hold: true } },
    });
    expect(operation?.status).not.toBe(OperationStatus.UNSPECIFIED);
    command.kill("SIGTERM");
    const result = await command.result;
    expect(result).toMatchObject({ code: 0, stdout: "" });
    expect(result.stderr).toContain('"msg":"stopped"');
  });

  test("stops gracefully at the first Ctrl+C and ends at once with 130 at the second", async () => {
    const { command, url } = await startServing(stubbornServices);
    const client = connectTestClient(url);
    const { operation } = await client.createOperation({ operationType: "stubborn" });
    const operationId = operation?.operationId ?? "";
    await client.waitOperation({ operationId, knownRevision: operation?.revision ?? 0n });
    command.kill("SIGINT");
    await command.line("stopping");
    command.kill("SIGINT");
    const result = await command.result;
    expect(result.code).toBe(130);
    expect(result.stderr).not.toContain('"msg":"stopped"');
  });

  test("goes on for the drain grace at SIGTERM and ends at once with 143 at a second one", async () => {
    const dataDir = await temporaryDirectory();
    const command = startCli(["serve", "--port", "0", "--data-dir", dataDir, "--drain-grace-ms", "60000"]);
    const { url } = JSON.parse(await command.line("listening"));
    command.kill("SIGTERM");
    await command.line("stopping");
    expect((await connectTestClient(String(url)).countOperations({})).total).toBe(0n);
    command.kill("SIGTERM");
    const result = await command.result;
    expect(result.code).toBe(143);
    expect(result.stderr).not.toContain('"msg":"stopped"');
  });

  test("prints the configuration it would run with, flags first, without passwords, and starts nothing", async () => {
    const result = await runCli(["serve", "--port", "1234", "--print-config"], {
      LONGHAUL_PORT: "99",
      LONGHAUL_CACHE_TTL_MS: "50",
      USE_DATA_LOAD_HOST_SERVICE: "yes",
      DATA_LOAD_HOST_SERVICE_URL: "http://host:5002",
      LONGHAUL_DATABASE_URL: "postgres://user:secret@host/db",
    });
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).not.toContain("secret");
    expect(JSON.parse(result.stdout)).toMatchObject({
      port: 1234,
      cacheTtlMs: 50,
      maxHops: 8,
      routes: [{ operationType: "data_load" }],
    });
  });

  test("does not start with a wrong configuration, and names everything that is wrong", async () => {
    const result = await runCli(["serve", "--port", "high"], {
      LONGHAUL_TYPO: "1",
      USE_TRAINING_HOST_SERVICE: "true",
    });
    expect(result).toMatchObject({ code: 2, stdout: "" });
    for (const name of ["port", "LONGHAUL_TYPO", "TRAINING_HOST_SERVICE_URL"]) expect(result.stderr).toContain(name);
  });

  test("does not start on a port that is taken, and names it", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    onTestFinished(() => void taken.close());
    const { port } = taken.address() as AddressInfo;
    const result = await runCli(["serve", "--port", String(port), "--data-dir", await temporaryDirectory()]);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(String(port));
  });

  test("has a flag for every setting of a server", async () => {
    const { stdout } = await runCli(["serve", "--help"]);
    for (const flag of ["--listen-host", "--cache-ttl-ms", "--host-lost-after-ms", "--max-message-bytes"]) {
      expect(stdout).toContain(`${flag} <value>`);
    }
  });
});
