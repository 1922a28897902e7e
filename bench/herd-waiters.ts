import { setTimeout as delay } from "node:timers/promises";
import { OperationsService } from "../gen/longhaul/v1/operations_service_pb.ts";
import { callsOpen } from "./harness/call-metrics.ts";
import { runH2load } from "./harness/h2load.ts";
import { type LonghaulProcess, runOperation, startLonghaul, token } from "./harness/longhaul-process.ts";
import type { BenchOptions, Row } from "./harness/row.ts";
import { spread } from "./harness/statistics.ts";
import { callTarget, methodTarget, type Target } from "./harness/target.ts";

const method = OperationsService.method.waitOperation;
const clients = { connections: 100, streams: 100 };
const waiters = clients.connections * clients.streams;
const waitSeconds = 50;

/** 10,000 callers of WaitOperation for one operation: how soon the last one hears of a change, and what each takes. */
export async function benchHerdWaiters({ quick }: BenchOptions): Promise<readonly Row[]> {
  const lastMs: number[] = [];
  const bytesEach: number[] = [];
  for (let round = 0; round < (quick ? 1 : 5); round++) {
    // A new process each time: memory that was used once is not given back.
    const server = await startLonghaul({ flags: { maxWaiters: `${2 * waiters}` }, nodeFlags: ["--expose-gc"] });
    const request = { operationId: await runOperation(server), timeout: { seconds: BigInt(waitSeconds) } };
    const target = methodTarget({ serverUrl: server.url, protocol: "grpc", method, request, token });
    const answerBytes = await warmUp(server, target, request.operationId);
    const before = await server.process.ask<number>("residentBytes");
    const startedMs = Date.now();
    const answered = runH2load(target, { ...clients, calls: waiters }, answerBytes);
    await Promise.race([waiting(server, waiters), answered]);
    bytesEach.push(((await server.process.ask<number>("residentBytes")) - before) / waiters);
    const checked = callTarget(target);
    await waiting(server, waiters + 1);
    const changedAtMs = await server.process.ask<number>("change");
    const { endedAtMs } = await answered;
    const { operation } = (await checked).message;
    if (!operation || endedAtMs < changedAtMs || changedAtMs - startedMs > waitSeconds * 1_000) {
      throw new Error("waiters were answered before the change, or without the operation");
    }
    lastMs.push(endedAtMs - changedAtMs);
    await server.process.stop();
  }
  return [
    {
      question: "10,000 waiters on one operation: from the change to the last answer",
      subject: "longhaul, WaitOperation over gRPC",
      unit: "ms",
      value: spread(lastMs),
      bar: { atMost: 250 },
    },
    {
      question: "10,000 waiters on one operation: resident memory of each",
      subject: "longhaul, WaitOperation over gRPC",
      unit: "KB",
      value: spread(bytesEach.map((bytes) => bytes / 1_000)),
      bar: { atMost: 20 },
    },
  ];
}

/** Lets the process reach what it needs for waits as such: short ones, of fewer callers. Answers an answer's length. */
async function warmUp(server: LonghaulProcess, target: Target, operationId: string): Promise<number> {
  const answered = callTarget(target);
  await waiting(server, 1);
  await server.process.ask("change");
  const { body } = await answered;
  const request = { operationId, timeout: { nanos: 50_000_000 } };
  const short = methodTarget({ serverUrl: server.url, protocol: "grpc", method, request, token });
  const late = await callTarget(short);
  await runH2load(short, { calls: 6_000, connections: 10, streams: 100 }, late.body.length);
  return body.length;
}

/** Resolves when so many calls wait. */
async function waiting(server: LonghaulProcess, count: number): Promise<void> {
  while ((await callsOpen(server, method)) < count) {
    await delay(100);
  }
}
