import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { callerRuns, type OperationsService, ProgressBridge, resolveConfig, startServer } from "longhaul";
import { BridgeSource } from "../src/operations/bridge-source.ts";
import { fastest } from "./fastest.ts";

const lengths = [1_000, 1_000_000] as const;
const readsPerRound = 1_000;

/** How long GetMetrics takes for the last 10 records of running operations with logs of different lengths. */
export async function benchMetricsTail(): Promise<{ name: string; microseconds: number }[]> {
  const directory = await mkdtemp(join(tmpdir(), "longhaul-bench-"));
  const env = { LONGHAUL_LOG_LEVEL: "silent", LONGHAUL_PORT: "0", LONGHAUL_DATA_DIR: directory };
  const server = await startServer(resolveConfig({ env: { ...env, LONGHAUL_CACHE_TTL_MS: "600000" } }));
  try {
    const { operations } = server;
    const reads = await Promise.all(lengths.map((length) => tailReader(operations, length)));
    const times = await fastest(readsPerRound, reads);
    return lengths.map((length, index) => ({
      name: `GetMetrics of the last 10 of ${length.toLocaleString("en")} records, in the process`,
      microseconds: times[index] ?? Number.NaN,
    }));
  } finally {
    await server.stop();
    await rm(directory, { recursive: true });
  }
}

/** Runs a training up to so many epochs and answers what reads its last 10. */
async function tailReader(operations: OperationsService, length: number): Promise<() => Promise<unknown>> {
  const { operationId } = await operations.createOperation({ operationType: "training" }, { executor: callerRuns });
  const bridge = new ProgressBridge({ operationType: "training" });
  await operations.startOperation(
    operationId,
    ({ attempt }) => new BridgeSource({ attempt, bridge, cancel: () => {} }),
  );
  for (let epoch = 1; epoch <= length; epoch++) {
    bridge.record("epoch", { epoch, trainLoss: 1 / epoch, valLoss: 1 / epoch });
  }
  const query = { cursor: 0, maxRecords: 10, latest: true };
  while ((await operations.getMetrics(operationId, query)).newCursor < length) {
    await operations.sweep();
  }
  return () => operations.getMetrics(operationId, query);
}
