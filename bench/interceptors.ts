import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { createContextValues, type UnaryRequest } from "@connectrpc/connect";
import { callerRuns, OperationsServiceDesc, resolveConfig, startServer } from "longhaul";
import { pino } from "pino";
import { GetOperationRequestSchema, GetOperationResponseSchema } from "../gen/longhaul/v1/operations_service_pb.ts";
import { createAccessControl } from "../src/access/access-control.ts";
import { createCallRecorder } from "../src/rpc/call-recorder.ts";
import { createEdgeInterceptors } from "../src/rpc/edge.ts";
import { createServerLog } from "../src/telemetry/server-log.ts";
import { createServerMetrics } from "../src/telemetry/server-metrics.ts";

const rounds = 5;
const callsPerRound = 3_000;
const runsPerRound = 50_000;

/** What a Get costs a server in CPU, and which part of that is the interceptors'. */
export interface InterceptorCost {
  /** CPU of the server's process for one gRPC Get from the cache, in microseconds. */
  readonly callMicroseconds: number;
  /** CPU of all interceptors together for one Get, in microseconds. */
  readonly interceptorMicroseconds: number;
}

/** A caller that is known by a static token, and may do everything. */
const token = "bench-token-0123456789";

/**
 * Measures Gets over gRPC from another process, with the log at its default level in a file, Prometheus on and no SDK
 * of OpenTelemetry, a static token, a role and a rate limit; and by turns, the interceptors alone around a handler that
 * does nothing.
 */
export async function benchInterceptors(): Promise<InterceptorCost> {
  const directory = await mkdtemp(join(tmpdir(), "longhaul-bench-"));
  const env = { LONGHAUL_PORT: "0", LONGHAUL_ADMIN_PORT: "0", LONGHAUL_CACHE_TTL_MS: "60000" };
  const access = { tokensFile: join(directory, "tokens.json"), accessPolicyFile: join(directory, "policy.json") };
  await writeFile(access.tokensFile, JSON.stringify({ tokens: [{ name: "bench", token }] }));
  await writeFile(access.accessPolicyFile, JSON.stringify({ bindings: [{ role: "admin", tokens: ["bench"] }] }));
  const flags = { ...access, dataDir: join(directory, "data"), rateLimitPerSecond: "1000000" };
  const config = resolveConfig({ env, flags });
  const destination = pino.destination(join(directory, "log"));
  const log = createServerLog(config.logLevel, destination);
  const server = await startServer(config, { log });
  let client: ChildProcess | undefined;
  try {
    const { operationId } = await server.operations.createOperation(
      { operationType: "training" },
      { executor: callerRuns },
    );
    await server.operations.startOperation(operationId);
    client = fork(new URL("./get-client.ts", import.meta.url), [server.url, operationId, token], {
      execArgv: ["--conditions=source"],
    });
    await once(client, "message");
    const metrics = createServerMetrics({
      operationTypes: [],
      hosts: [],
      activity: () => undefined,
      isStoreInTrouble: () => false,
    });
    const recorder = createCallRecorder(log, metrics.calls);
    const intercepted = chain(
      createEdgeInterceptors({
        accessControl: createAccessControl({
          ...config,
          jwt: { issuer: "", audience: "", algorithms: [] },
          log,
          now: Date.now,
        }),
        serverId: "bench",
        log,
        recorder,
        options: config,
      }),
      operationId,
    );
    let callMicroseconds = Number.POSITIVE_INFINITY;
    let interceptorMicroseconds = Number.POSITIVE_INFINITY;
    for (let round = 0; round < rounds; round++) {
      callMicroseconds = Math.min(callMicroseconds, await cpuOf(callsPerRound, () => calls(client as ChildProcess)));
      interceptorMicroseconds = Math.min(interceptorMicroseconds, await cpuOf(runsPerRound, () => repeat(intercepted)));
    }
    return { callMicroseconds, interceptorMicroseconds };
  } finally {
    client?.kill();
    await server.stop();
    await rm(directory, { recursive: true });
  }
}

/** One run of the interceptors for a Get, around a handler that does nothing. */
function chain(interceptors: ReturnType<typeof createEdgeInterceptors>, operationId: string): () => Promise<unknown> {
  const method = OperationsServiceDesc.method.getOperation;
  const message = create(GetOperationResponseSchema);
  const handler = interceptors.reduceRight<Parameters<(typeof interceptors)[number]>[0]>(
    (next, interceptor) => interceptor(next),
    async () => ({
      stream: false,
      service: OperationsServiceDesc,
      method,
      header: new Headers(),
      trailer: new Headers(),
      message,
    }),
  );
  const request: UnaryRequest = {
    stream: false,
    service: OperationsServiceDesc,
    method,
    requestMethod: "POST",
    url: "http://127.0.0.1/longhaul.v1.OperationsService/GetOperation",
    signal: new AbortController().signal,
    header: new Headers({
      "content-type": "application/grpc",
      te: "trailers",
      "grpc-timeout": "10S",
      authorization: `Bearer ${token}`,
    }),
    contextValues: createContextValues(),
    message: create(GetOperationRequestSchema, { operationId }),
  };
  return () => handler(request);
}

/** CPU that this process spends on each of so many calls, in microseconds. */
async function cpuOf(count: number, run: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

async function calls(client: ChildProcess): Promise<void> {
  client.send(callsPerRound);
  await once(client, "message");
}

async function repeat(run: () => Promise<unknown>): Promise<void> {
  for (let done = 0; done < runsPerRound; done++) {
    await run();
  }
}
