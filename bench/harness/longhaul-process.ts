import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Interceptor } from "@connectrpc/connect";
import { createGrpcJsTransport, PollingClient } from "longhaul";
import { settings } from "../../src/settings.ts";
import { builtCommandLine } from "./built-package.ts";
import { temporaryDirectory, undoAtEnd } from "./leftovers.ts";
import { type PinnedProcess, startNode } from "./pinned-process.ts";

/** The caller of all calls, known by a static token, who may do everything. */
export const token = "bench-token-0123456789";

/** A server under test in a process of its own. */
export interface LonghaulProcess {
  readonly url: string;
  /** Where its Prometheus metrics are. */
  readonly metricsUrl: string;
  readonly process: PinnedProcess;
  /** A client with the token. */
  readonly client: PollingClient;
}

/** How a server under test differs from the standard one. */
export interface LonghaulOptions {
  /** Settings by their names, beside the standard ones. */
  readonly flags?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly nodeFlags?: readonly string[];
  readonly core?: string;
}

const upWithinMs = 30_000;

/**
 * Starts a server through the command line of the built package, with every standard interceptor at work: the log at its default level in a
 * file, Prometheus, a static token, a role, and a rate limit that is never reached.
 */
export async function startLonghaul(options: LonghaulOptions = {}): Promise<LonghaulProcess> {
  const directory = temporaryDirectory();
  const flags = { ...standardFlags(directory), ...options.flags };
  const { env, nodeFlags, core } = options;
  const server = startNode(
    builtCommandLine(),
    ["serve", ...Object.entries(flags).flatMap(([key, value]) => [`--${kebabCase(key)}`, value])],
    { ...(env && { env }), ...(nodeFlags && { nodeFlags }), ...(core !== undefined && { core }) },
  );
  const { url, adminUrl } = await listening(server);
  const bearer: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
  const transport = createGrpcJsTransport({ baseUrl: url, interceptors: [bearer] });
  undoAtEnd(() => transport.close());
  return { url, metricsUrl: `${adminUrl}/metrics`, process: server, client: new PollingClient(transport) };
}

/** A server's ways to answer unary gRPC calls: one, or two where the fast lane can be switched off. */
export function lanes(): readonly { readonly name: string; readonly flags: Readonly<Record<string, string>> }[] {
  return "fastLane" in settings
    ? [
        { name: "longhaul", flags: { fastLane: "true" } },
        { name: "longhaul, fast lane off", flags: { fastLane: "false" } },
      ]
    : [{ name: "longhaul", flags: {} }];
}

/** Makes a server a gateway to the host that runs `training`. */
export function gatewayFlags(host: LonghaulProcess): LonghaulOptions {
  return { env: { USE_TRAINING_HOST_SERVICE: "true", TRAINING_HOST_SERVICE_URL: host.url } };
}

/** Creates an operation such as users have, and answers its id once it runs and is known to `server`. */
export async function runOperation({ client }: LonghaulProcess, operationType = "training"): Promise<string> {
  const created = await client.create({
    operationType,
    operationName: "Train on AAPL",
    labels: { team: "research" },
    metadata: { symbol: "AAPL", timeframe: "1h", parameters: { epochs: 100, learning_rate: 0.001 } },
  });
  const operationId = created?.operationId ?? "";
  const deadline = Date.now() + upWithinMs;
  for (;;) {
    const operation = await client.get(operationId);
    if (operation?.progress?.currentStep) {
      return operationId;
    }
    if (Date.now() > deadline) {
      throw new Error(`operation ${operationId} does not run`);
    }
    await delay(50);
  }
}

function standardFlags(directory: string): Record<string, string> {
  const [tokensFile, accessPolicyFile, callTokenFile] = ["tokens.json", "policy.json", "call-token"].map((name) =>
    join(directory, name),
  ) as [string, string, string];
  writeFileSync(tokensFile, JSON.stringify({ tokens: [{ name: "bench", token }] }));
  writeFileSync(accessPolicyFile, JSON.stringify({ bindings: [{ role: "admin", tokens: ["bench"] }] }));
  writeFileSync(callTokenFile, token, { mode: 0o600 });
  return {
    port: "0",
    adminPort: "0",
    dataDir: join(directory, "data"),
    services: fileURLToPath(new URL("../servers/services.ts", import.meta.url)),
    rateLimitPerSecond: "1000000",
    rateLimitBurst: "1000000",
    ...{ tokensFile, accessPolicyFile, callTokenFile },
  };
}

/** Where the server's log says that it listens. */
async function listening(server: PinnedProcess): Promise<{ url: string; adminUrl: string }> {
  const deadline = Date.now() + upWithinMs;
  while (Date.now() < deadline && !server.hasEnded()) {
    const line = server
      .output()
      .split("\n")
      .find((each) => each.includes('"msg":"listening"'));
    if (line !== undefined) {
      return JSON.parse(line);
    }
    await delay(20);
  }
  throw new Error(`the server is not up:\n${server.output()}`);
}

function kebabCase(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
