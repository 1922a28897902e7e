import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import type { Interceptor, UnaryRequest, UnaryResponse } from "@connectrpc/connect";
import { OperationsServiceDesc, resolveConfig } from "longhaul";
import { pino } from "pino";
import { GetOperationRequestSchema, GetOperationResponseSchema } from "../gen/longhaul/v1/operations_service_pb.ts";
import { createAccessControl } from "../src/access/access-control.ts";
import { createCallRecorder } from "../src/rpc/call-recorder.ts";
import { CallValues } from "../src/rpc/call-values.ts";
import { createEdgeInterceptors } from "../src/rpc/edge.ts";
import { FastAnswer, FastCall } from "../src/rpc/fast-lane/fast-call.ts";
import { createServerLog } from "../src/telemetry/server-log.ts";
import { createServerMetrics } from "../src/telemetry/server-metrics.ts";
import { keepContexts } from "../src/tracing/spans.ts";
import { cpuOf } from "./harness/burst-rows.ts";
import { pairedBursts } from "./harness/bursts.ts";
import { temporaryDirectory } from "./harness/leftovers.ts";
import { runOperation, startLonghaul, token } from "./harness/longhaul-process.ts";
import type { BenchOptions, Row } from "./harness/row.ts";
import { ratios, spread } from "./harness/statistics.ts";
import { methodTarget } from "./harness/target.ts";

const method = OperationsServiceDesc.method.getOperation;
const runsPerRound = 50_000;
const question = "CPU of the interceptors of a GetOperation";
const whole = "GetOperation over gRPC, in all";

/**
 * What all interceptors together cost a Get: the log at its default level in a file, Prometheus on and no SDK of
 * OpenTelemetry, a static token, a role and a rate limit, around a handler that does nothing. Against the whole call.
 */
export async function benchInterceptors({ quick }: BenchOptions): Promise<readonly Row[]> {
  const rounds = quick ? 3 : 9;
  const server = await startLonghaul();
  const operationId = await runOperation(server);
  const request = { serverUrl: server.url, protocol: "grpc", method, request: { operationId }, token } as const;
  const bursts = await pairedBursts(
    [
      {
        name: whole,
        pids: () => [server.process.pid],
        targets: [methodTarget(request)],
        check: () => {},
        load: { connections: 4, streams: 8 },
      },
    ],
    { rounds, seconds: quick ? 0.4 : 1 },
  );
  const calls = (bursts.get(whole) ?? []).map(cpuOf);
  const run = chain(standardInterceptors(), operationId);
  await cpuOfRound(run);
  const samples: number[] = [];
  while (samples.length < rounds) {
    samples.push(await cpuOfRound(run));
  }
  return [
    { question, subject: whole, unit: "µs", value: spread(calls) },
    {
      question,
      subject: "its interceptors: sight, errors, access, limit, rules",
      unit: "µs",
      value: spread(samples),
      ratios: [{ to: whole, of: spread(ratios(samples, calls)), bar: { atMost: 0.1 } }],
    },
  ];
}

/** Those of a server with every standard feature. */
function standardInterceptors(): readonly Interceptor[] {
  keepContexts();
  const directory = temporaryDirectory();
  const access = { tokensFile: join(directory, "tokens.json"), accessPolicyFile: join(directory, "policy.json") };
  writeFileSync(access.tokensFile, JSON.stringify({ tokens: [{ name: "bench", token }] }));
  writeFileSync(access.accessPolicyFile, JSON.stringify({ bindings: [{ role: "admin", tokens: ["bench"] }] }));
  const options = resolveConfig({ env: {}, flags: { ...access, rateLimitPerSecond: "1000000" } });
  const log = createServerLog(options.logLevel, pino.destination({ dest: join(directory, "log"), sync: true }));
  const metrics = createServerMetrics({
    operationTypes: [],
    hosts: [],
    activity: () => undefined,
    isStoreInTrouble: () => false,
  });
  const jwt = { issuer: "", audience: "", algorithms: [] };
  return createEdgeInterceptors({
    accessControl: createAccessControl({ ...options, jwt, log, now: Date.now }),
    serverId: "bench",
    log,
    recorder: createCallRecorder(log, metrics.calls),
    options,
  });
}

/** One run of the interceptors for a Get, around a handler that does nothing. */
function chain(interceptors: readonly Interceptor[], operationId: string): () => Promise<unknown> {
  const headers = {
    ":method": "POST",
    ":path": `/${OperationsServiceDesc.typeName}/${method.name}`,
    "content-type": "application/grpc",
    te: "trailers",
    "grpc-timeout": "10S",
    authorization: `Bearer ${token}`,
  };
  const values = new CallValues();
  const request = create(GetOperationRequestSchema, { operationId });
  const answer = create(GetOperationResponseSchema);
  const handler = interceptors.reduceRight<Parameters<Interceptor>[0]>(
    (next, interceptor) => interceptor(next),
    async (call) => new FastAnswer(call as unknown as FastCall, answer) as unknown as UnaryResponse,
  );
  return () => {
    const call = new FastCall("grpc", method, headers, values, 10_000);
    call.message = request;
    return handler(call as UnaryRequest);
  };
}

/** CPU of this process for one run, in microseconds. */
async function cpuOfRound(run: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  for (let done = 0; done < runsPerRound; done++) {
    await run();
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / runsPerRound;
}
