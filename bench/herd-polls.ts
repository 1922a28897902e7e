import { OperationStatus } from "../gen/longhaul/v1/operation_pb.ts";
import { type GetOperationResponse, OperationsService } from "../gen/longhaul/v1/operations_service_pb.ts";
import { settings } from "../src/settings.ts";
import { burstRows } from "./harness/burst-rows.ts";
import { type Contender, pairedBursts } from "./harness/bursts.ts";
import { callsAnswered, failedPulls } from "./harness/call-metrics.ts";
import { runH2load } from "./harness/h2load.ts";
import { gatewayFlags, runOperation, startLonghaul, token } from "./harness/longhaul-process.ts";
import type { BenchOptions, Row } from "./harness/row.ts";
import { spread } from "./harness/statistics.ts";
import { callTarget, methodTarget } from "./harness/target.ts";

const method = OperationsService.method.getOperation;
/** Answers are longer where they tell why the host could not be asked in time. */
const clients = { connections: 100, streams: 100, differBy: 200 };
const ttlMs = settings.cacheTtlMs.default;
const local = "longhaul, an operation of its own";
const remote = "longhaul, an operation of a host";

/** 10,000 clients that poll one operation: what the host notices of them, and how long they wait for a cached answer. */
export async function benchHerdPolls({ quick }: BenchOptions): Promise<readonly Row[]> {
  const host = await startLonghaul();
  const gateway = await startLonghaul(gatewayFlags(host));
  const get = (operationId: string) =>
    methodTarget({ serverUrl: gateway.url, protocol: "grpc", method, request: { operationId }, token });
  const remoteGet = get(await runOperation(gateway, "training"));
  const localGet = get(await runOperation(gateway, "data_load"));
  const contenders: Omit<Contender, "load">[] = [
    { name: local, targets: [localGet], check: demandRunning },
    { name: remote, targets: [remoteGet], check: demandRunning },
  ];
  const atRate = await pairedBursts(
    contenders.map((each) => ({ ...each, load: { ...clients, rate: 1_000 } })),
    quick ? { rounds: 2, seconds: 1 } : { rounds: 5, seconds: 4 },
  );
  const atOnce = await pairedBursts(
    contenders.map((each) => ({ ...each, load: clients })),
    { rounds: quick ? 2 : 5, seconds: 1 },
  );
  const perSecond = spread((atOnce.get(remote) ?? []).map(({ callsPerSecond }) => callsPerSecond)).median;
  const calls = Math.max(10_000, Math.ceil(perSecond * (quick ? 2 : 5)));
  const upstream: number[] = [];
  for (let round = 0; round < (quick ? 2 : 3); round++) {
    const { body, message } = await callTarget(remoteGet);
    demandRunning(message);
    const askedBefore = await callsAnswered(host, method);
    const startedMs = performance.now();
    await runH2load(remoteGet, { ...clients, calls }, body.length);
    const periods = Math.floor((performance.now() - startedMs) / ttlMs) + 1;
    const asked = (await callsAnswered(host, method)) - askedBefore;
    upstream.push(asked / periods);
  }
  const failed = await failedPulls(gateway, host);
  const p99 = ({ p99 }: { p99: number }) => p99 / 1_000;
  const comparison = [{ of: remote, to: local, bar: { atMost: 2 } }];
  return [
    {
      question: "Calls to the host for each second of 10,000 clients that poll one of its operations",
      subject: "longhaul, GetOperation in each cache TTL",
      unit: "calls",
      value: spread(upstream),
      bar: { atMost: 1 },
    },
    {
      question: "Calls to the host that came to nothing in time while 10,000 clients polled",
      subject: "longhaul, GetOperation",
      unit: "%",
      value: spread([100 * failed]),
      note: "what clients got meanwhile was the last known state, marked stale",
    },
    ...burstRows(
      { question: "99th percentile of a GetOperation of 10,000 clients, each every 10 s", unit: "ms", of: p99 },
      atRate,
      comparison,
    ),
    ...burstRows(
      { question: "99th percentile of a GetOperation of 10,000 clients, all at once", unit: "ms", of: p99 },
      atOnce,
      comparison,
    ),
  ];
}

function demandRunning(message: unknown): void {
  const { operation } = message as GetOperationResponse;
  if (operation?.status !== OperationStatus.RUNNING) {
    throw new Error("a Get does not answer the running operation");
  }
}
