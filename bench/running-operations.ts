import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { callerRuns, type OperationsService, ProgressBridge, resolveConfig, startServer } from "longhaul";
import { OperationInfoSchema } from "../gen/longhaul/v1/operation_pb.ts";
import { CreateOperationRequestSchema } from "../gen/longhaul/v1/operations_service_pb.ts";
import { BridgeSource } from "../src/operations/bridge-source.ts";
import { type LoopHolds, LoopWatch } from "./harness/loop-watch.ts";

/** What very many running operations cost. */
export interface RunningCosts {
  readonly operations: number;
  /** Growth of the memory in use per operation, heap and outside, in bytes. */
  readonly memoryBytes: number;
  /** Growth of what the process has of the system per operation, garbage not given back included, in bytes. */
  readonly residentBytes: number;
  /** What an operation's own data takes encoded, its snapshot and its request, in bytes. */
  readonly dataBytes: number;
  /** CPU time of a sweep in which every operation has new progress, in milliseconds. */
  readonly sweepMs: number;
  /** How long such a sweep held up the event loop. */
  readonly sweepHolds: LoopHolds;
}

const running = 100_000;
const atOnce = 500;
/** Time for timers and write-behind work to end, in milliseconds. */
const settleMs = 2_000;

/** Measures 100,000 running operations, in a process of its own, whose memory nothing else is in. */
export async function benchRunning(): Promise<RunningCosts> {
  const args = ["--expose-gc", "--max-old-space-size=4096", "--conditions=source", fileURLToPath(import.meta.url)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const [costs] = await Promise.all([json(child.stdout), once(child, "exit")]);
  return costs as RunningCosts;
}

async function measure(): Promise<RunningCosts> {
  const directory = await mkdtemp(join(tmpdir(), "longhaul-bench-"));
  const env = { LONGHAUL_LOG_LEVEL: "silent", LONGHAUL_PORT: "0", LONGHAUL_DATA_DIR: directory };
  const server = await startServer(resolveConfig({ env: { ...env, LONGHAUL_SWEEP_INTERVAL_MS: "600000" } }));
  try {
    const { operations } = server;
    const bridges: ProgressBridge[] = [];
    await startMany(operations, bridges, 2_000);
    const before = await memory();
    const ids = await startMany(operations, bridges, running);
    const after = await memory();
    for (const bridge of bridges) {
      bridge.update({ percentage: 43, currentStep: "epochs", stepsCompleted: 43, stepsTotal: 100 });
    }
    const { user, system } = process.cpuUsage();
    const watch = new LoopWatch();
    await operations.sweep();
    const sweepHolds = await watch.stop();
    const used = process.cpuUsage({ user, system });
    return {
      operations: running,
      memoryBytes: (after.heapUsed + after.external - before.heapUsed - before.external) / running,
      residentBytes: (after.rss - before.rss) / running,
      dataBytes: await dataBytes(operations, ids[0] as string),
      sweepMs: (used.user + used.system) / 1_000,
      sweepHolds,
    };
  } finally {
    await server.stop({ drainGraceMs: 0 });
    await rm(directory, { recursive: true });
  }
}

function requestOf(index: number) {
  const parameters = { epochs: 100, learning_rate: 0.001, batch_size: 64, layers: [128, 64, 32], dropout: 0.2 };
  return {
    operationType: "training",
    operationName: `Train on AAPL, run ${index}`,
    labels: { team: "research", stage: "prod" },
    metadata: { symbol: "AAPL", timeframe: "1h", startDate: timestampFromMs(Date.UTC(2020, 0, 1)), parameters },
    totalSteps: 100n,
  };
}

/** Starts operations whose creator runs them, with progress in their bridges. */
async function startMany(operations: OperationsService, bridges: ProgressBridge[], count: number): Promise<string[]> {
  const startOne = async (index: number) => {
    const { operationId } = await operations.createOperation(requestOf(index), { executor: callerRuns });
    const bridge = new ProgressBridge({ operationType: "training" });
    bridge.update({ percentage: 42, currentStep: "epochs", stepsCompleted: 42, stepsTotal: 100 });
    bridges.push(bridge);
    await operations.startOperation(
      operationId,
      ({ attempt }) => new BridgeSource({ attempt, bridge, writer: bridge, cancel: () => {} }),
    );
    return operationId;
  };
  const ids: string[] = [];
  for (let from = 0; from < count; from += atOnce) {
    ids.push(...(await Promise.all(Array.from({ length: atOnce }, (_, index) => startOne(from + index)))));
  }
  return ids;
}

async function dataBytes(operations: OperationsService, operationId: string): Promise<number> {
  const info = await operations.getOperation(operationId);
  const request = create(CreateOperationRequestSchema, requestOf(0));
  return toBinary(OperationInfoSchema, info).length + toBinary(CreateOperationRequestSchema, request).length;
}

async function memory(): Promise<NodeJS.MemoryUsage> {
  await delay(settleMs);
  for (let round = 0; round < 3; round++) {
    globalThis.gc?.();
  }
  return process.memoryUsage();
}

if (import.meta.main) {
  process.stdout.write(JSON.stringify(await measure()));
}
