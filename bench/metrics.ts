import { callerRuns, type OperationsService, ProgressBridge, resolveConfig, startServer } from "longhaul";
import { BridgeSource } from "../src/operations/bridge-source.ts";
import { temporaryDirectory } from "./harness/leftovers.ts";
import { timedRounds } from "./harness/rounds.ts";
import type { BenchOptions, Row } from "./harness/row.ts";
import { ratios, spread } from "./harness/statistics.ts";

const lengths = [1_000, 1_000_000] as const;
const question = "GetMetrics of the last 10 records of a running operation, in the process";

/** How long GetMetrics takes for the last records of running operations with logs of different lengths. */
export async function benchMetricsTail({ quick }: BenchOptions): Promise<readonly Row[]> {
  const env = { LONGHAUL_LOG_LEVEL: "silent", LONGHAUL_PORT: "0", LONGHAUL_DATA_DIR: temporaryDirectory() };
  const server = await startServer(resolveConfig({ env: { ...env, LONGHAUL_CACHE_TTL_MS: "600000" } }));
  try {
    const { operations } = server;
    const reads = await Promise.all(lengths.map((length) => tailReader(operations, length)));
    const samples = await timedRounds(reads, { rounds: quick ? 3 : 9, callsPerRound: 1_000 });
    const [shortest = []] = samples;
    return lengths.map((length, index) => ({
      question,
      subject: subject(length),
      unit: "µs",
      value: spread(samples[index] ?? []),
      ratios: index === 0 ? [] : [{ to: subject(lengths[0]), of: spread(ratios(samples[index] ?? [], shortest)) }],
    }));
  } finally {
    await server.stop();
  }
}

function subject(length: number): string {
  return `of ${length.toLocaleString("en")} records`;
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
