import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { createClient } from "@connectrpc/connect";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { createGrpcJsTransport } from "../../src/client/grpc-transport.ts";
import { createCertificateAuthority } from "../support/certificates.ts";
import { type SpawnedServer, spawnServer } from "../support/spawned-server.ts";
import type { Attack } from "./attack-set.ts";

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

/** What an attack may cost, at most. */
const memoryLimitMib = 100;
const sampleIntervalMs = 20;
/** Gets and time before the first look at the memory: a server that has just begun grows by itself, and starts threads. */
const warmUpCalls = 3_000;
const warmUpMs = 2_000;
const healthyClient = new URL("./healthy-client.ts", import.meta.url);

/** How an attack is made. */
export interface AbuseOptions {
  /** Done before, and counts for nothing. */
  readonly prepare?: (server: SpawnedServer) => Promise<unknown>;
  /**
   * The attack is made again until this long has passed, in milliseconds, so that the healthy client makes enough calls;
   * the memory is that of the first one. Default: it is made once.
   */
  readonly leastMs?: number;
}

/** Attacks a server process of its own while a healthy client polls it. Rejects when the attack does. */
export async function abuse(
  { isSecure = false, settings = {}, run }: Attack,
  { prepare = async () => {}, leastMs = 0 }: AbuseOptions = {},
): Promise<Harm> {
  const directory = mkdtempSync(join(tmpdir(), "longhaul-abuse-"));
  try {
    const tls = isSecure ? await tlsFiles(directory) : undefined;
    const server = await spawnServer(join(directory, "data"), { ...settings, ...tls?.settings });
    try {
      await prepare(server);
      return await harmOf(server, () => run({ port: server.port, ca: tls?.ca }), leastMs, tls?.ca);
    } finally {
      server.kill("SIGKILL");
      await server.exited;
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** What is promised of a server under attack and was not kept, in words; `p99LimitMs` is what a healthy client may wait. */
export function brokenPromises(harm: Harm, p99LimitMs: number): string[] {
  const { beforeMib, peakMib, healthyFailures, p99Ms } = harm;
  const grownMib = peakMib - beforeMib;
  return [
    ...healthyFailures.slice(0, 10).map((failure) => `a healthy call failed: ${failure}`),
    ...(grownMib < memoryLimitMib ? [] : [`it took ${grownMib} MiB more; less than ${memoryLimitMib} are promised`]),
    ...(p99Ms < p99LimitMs ? [] : [`p99 of a healthy client ${p99Ms.toFixed(1)} ms; below ${p99LimitMs} are promised`]),
  ];
}

async function harmOf(
  server: SpawnedServer,
  attack: () => Promise<void>,
  leastMs: number,
  ca: string | undefined,
): Promise<Harm> {
  const operationId = await warmedUp(server, ca);
  const healthy = new Worker(healthyClient, { workerData: { url: server.url, operationId, ca } });
  await once(healthy, "message");
  const beforeMib = residentMib(server.pid);
  let peakMib = beforeMib;
  const sampling = setInterval(() => {
    peakMib = Math.max(peakMib, residentMib(server.pid));
  }, sampleIntervalMs);
  const beganMs = performance.now();
  let afterMib: number;
  try {
    await attack();
    afterMib = residentMib(server.pid);
    clearInterval(sampling);
    while (performance.now() - beganMs < leastMs) {
      await attack();
    }
  } finally {
    clearInterval(sampling);
    healthy.postMessage("enough");
  }
  const [{ timesMs, failed }] = (await once(healthy, "message")) as [{ timesMs: number[]; failed: string[] }];
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

/** The files of a TLS server, and the authority that clients have to trust. */
async function tlsFiles(directory: string) {
  const authority = await createCertificateAuthority();
  const { cert, key } = await authority.issue();
  const settings = { tlsCertFile: join(directory, "cert.pem"), tlsKeyFile: join(directory, "key.pem") };
  writeFileSync(settings.tlsCertFile, cert);
  writeFileSync(settings.tlsKeyFile, key);
  return { settings, ca: authority.cert };
}

/** Resident memory of a process. Throws when it has ended. */
function residentMib(pid: number): number {
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
