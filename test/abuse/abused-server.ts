import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { createClient } from "@connectrpc/connect";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { createGrpcJsTransport } from "../../src/client/grpc-transport.ts";
import type { SpawnedServer } from "../support/spawned-server.ts";

/** What an attack has done to a server. Sizes are resident memory in MiB, times in milliseconds. */
export interface Harm {
  readonly beforeMib: number;
  readonly peakMib: number;
  readonly afterMib: number;
  /** Calls of a client that polls meanwhile. */
  readonly healthyCalls: number;
  readonly healthyFailures: readonly string[];
  readonly medianMs: number;
  readonly p99Ms: number;
}

const sampleIntervalMs = 20;
/** Gets and time before the first look at the memory: a server that has just begun grows by itself, and starts threads. */
const warmUpCalls = 3_000;
const warmUpMs = 2_000;
const healthyClient = new URL("./healthy-client.ts", import.meta.url);

/** Attacks a server while a healthy client polls it, and says what that did. Rejects when the attack does. */
export async function harmOf(server: SpawnedServer, attack: () => Promise<void>, ca?: string): Promise<Harm> {
  const operationId = await warmedUp(server, ca);
  const healthy = new Worker(healthyClient, { workerData: { url: server.url, operationId, ca } });
  await once(healthy, "message");
  const beforeMib = residentMib(server.pid);
  let peakMib = beforeMib;
  const sampling = setInterval(() => {
    peakMib = Math.max(peakMib, residentMib(server.pid));
  }, sampleIntervalMs);
  try {
    await attack();
  } finally {
    clearInterval(sampling);
    healthy.postMessage("enough");
  }
  const [{ timesMs, failed }] = (await once(healthy, "message")) as [{ timesMs: number[]; failed: string[] }];
  const afterMib = residentMib(server.pid);
  const sorted = timesMs.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
  return {
    beforeMib,
    peakMib: Math.max(peakMib, afterMib),
    afterMib,
    healthyCalls: timesMs.length,
    healthyFailures: failed,
    medianMs: at(0.5),
    p99Ms: at(0.99),
  };
}

/** One line for people. */
export function describeHarm(what: string, harm: Harm): string {
  const { beforeMib, peakMib, afterMib, healthyCalls, healthyFailures, medianMs, p99Ms } = harm;
  const memory = `${beforeMib} MiB, at most +${peakMib - beforeMib}, after it ${signed(afterMib - beforeMib)}`;
  const calls = `${healthyCalls} healthy calls, ${healthyFailures.length} failed`;
  return `${what}: ${memory}; ${calls}, median ${medianMs.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms`;
}

/** Resident memory of a process. Throws when it has ended. */
export function residentMib(pid: number): number {
  const [, kib] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Math.round(Number(kib) / 1024);
}

/** Makes an operation and gets it until the server has its working size. */
async function warmedUp({ url, pid }: SpawnedServer, ca: string | undefined): Promise<string> {
  const transport = createGrpcJsTransport({
    baseUrl: url,
    ...(ca !== undefined && { rootCertificates: Buffer.from(ca) }),
  });
  const client = createClient(OperationsService, transport);
  const { operation } = await client.createOperation({ operationType: "training" });
  const operationId = operation?.operationId ?? "";
  const begunMs = performance.now();
  let grew = 0;
  for (let rounds = 0; rounds < 10 && (performance.now() - begunMs < warmUpMs || grew > 1); rounds++) {
    const sizeMib = residentMib(pid);
    for (let done = 0; done < warmUpCalls; done += 50) {
      await Promise.all(Array.from({ length: 50 }, () => client.getOperation({ operationId })));
    }
    grew = residentMib(pid) - sizeMib;
  }
  transport.close();
  return operationId;
}

function signed(value: number): string {
  return value < 0 ? String(value) : `+${value}`;
}
