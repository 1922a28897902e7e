import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, onTestFinished, test } from "vitest";
import { OperationStatus } from "../gen/longhaul/v1/operation_pb.ts";
import { operationIn } from "./support/operation-when.ts";
import { temporaryDirectory } from "./support/temporary-directory.ts";
import { connectTestClient } from "./support/test-client.ts";

const root = join(import.meta.dirname, "..");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** Orchestrators as a user of the package writes them. */
const services = `
import { ServiceOrchestrator } from "./src/index.js";
class Service extends ServiceOrchestrator {
  operations = {
    local: { operationFunc: async (id) => ({ id }) },
    threaded: { workerModule: new URL("./work.js", import.meta.url) },
  };
}
export const service = new Service();
`;
const work = "export const operationFunc = async (id) => ({ id });";

/** Builds the package's code where none of its dependencies can be found. */
async function builtPackage(): Promise<string> {
  const folder = await temporaryDirectory();
  execFileSync(process.execPath, ["tools/bundle.ts", folder], { cwd: root });
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  return folder;
}

/** Runs `serve` of a built package until it listens. */
async function serve(folder: string, args: readonly string[], env: Record<string, string> = {}) {
  const dataDir = await temporaryDirectory();
  const main = join(folder, "src/cli/main.js");
  const server = spawn(process.execPath, [main, "serve", "--port", "0", "--data-dir", dataDir, ...args], {
    stdio: ["ignore", "inherit", "pipe"],
    // Nothing is left in the home directory of who runs the tests.
    env: { ...process.env, NODE_DISABLE_COMPILE_CACHE: "1", ...env },
  });
  const exited = once(server, "exit");
  onTestFinished(async () => {
    server.kill("SIGKILL");
    await exited;
  });
  const [line] = await once(createInterface(server.stderr), "line");
  const { url, adminUrl }: { url: string; adminUrl?: string } = JSON.parse(String(line));
  const stop = async () => {
    server.kill("SIGTERM");
    const [code] = await exited;
    return code as number | null;
  };
  return { url, adminUrl, stop };
}

describe("the built package", { timeout: 60_000 }, () => {
  test("serves orchestrators that import it, in the process and in threads, also behind a gateway", async () => {
    const folder = await builtPackage();
    const module = join(folder, "services.js");
    writeFileSync(module, services);
    writeFileSync(join(folder, "work.js"), work);
    const host = await serve(folder, ["--services", module]);
    const gateway = await serve(folder, ["--admin-port", "0"], {
      USE_LOCAL_HOST_SERVICE: "yes",
      LOCAL_HOST_SERVICE_URL: host.url,
      USE_THREADED_HOST_SERVICE: "yes",
      THREADED_HOST_SERVICE_URL: host.url,
      // Nobody listens there; spans are recorded all the same.
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9",
    });
    for (const { url } of [host, gateway]) {
      const client = connectTestClient(url);
      for (const operationType of ["local", "threaded"]) {
        const { operation } = await client.createOperation({ operationType });
        const operationId = operation?.operationId ?? "";
        const ended = await operationIn(client, operationId, OperationStatus.COMPLETED);
        expect(ended.resultSummary).toEqual({ id: operationId });
      }
    }
    expect(await (await fetch(`${gateway.adminUrl}/metrics`)).text()).toContain("longhaul_");
    expect([await gateway.stop(), await host.stop()]).toEqual([0, 0]);
  });

  test("has the first module of every thread beside the code that starts it", async () => {
    const chunks = join(await builtPackage(), "src/chunks");
    const started = readdirSync(chunks)
      .flatMap((file) => [...readFileSync(join(chunks, file), "utf8").matchAll(/new URL\(`\.\/([\w-]+)\$\{extname/g)])
      .map(([, name]) => `${name}.js`);
    expect(started.length).toBeGreaterThan(0);
    expect(readdirSync(chunks)).toEqual(expect.arrayContaining(started));
  });

  test("exports what the sources export, where package.json says", async () => {
    const folder = await builtPackage();
    const { default: file } = manifest.exports["."];
    const built = await import(join(folder, file.replace("./dist/", "")));
    expect(Object.keys(built).sort()).toEqual(Object.keys(await import("../src/index.ts")).sort());
  });

  test("has the licence of every package whose code is in it", async () => {
    const licences = readFileSync(join(await builtPackage(), "THIRD-PARTY-LICENSES.txt"), "utf8");
    const missing = Object.entries(manifest.dependencies).filter(
      ([name, version]) => !licences.includes(`${name} ${version} (`),
    );
    expect(missing).toEqual([]);
  });
});
