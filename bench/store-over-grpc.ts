import { type CreateOperationResponse, OperationsService } from "../gen/longhaul/v1/operations_service_pb.ts";
import { startPostgres } from "../test/support/postgres-server.ts";
import { burstRows } from "./harness/burst-rows.ts";
import { type Contender, pairedBursts } from "./harness/bursts.ts";
import { callsAnswered } from "./harness/call-metrics.ts";
import { holdRows } from "./harness/hold-rows.ts";
import { type LonghaulProcess, startLonghaul, token } from "./harness/longhaul-process.ts";
import type { LoopHolds } from "./harness/loop-watch.ts";
import type { BenchOptions, Row } from "./harness/row.ts";
import { methodTarget } from "./harness/target.ts";

const method = OperationsService.method.createOperation;
const one = "1 caller";
const many = "64 callers";

/** Durable creates over gRPC, into SQLite and into PostgreSQL, and how long the event loop is held up meanwhile. */
export async function benchStoreOverGrpc(options: BenchOptions): Promise<readonly Row[]> {
  const sqlite = await benchCreates("SQLite", {}, options);
  const postgres = await startPostgres();
  try {
    return [
      ...sqlite,
      ...(await benchCreates("PostgreSQL", { databaseUrl: await postgres.createDatabase() }, options)),
    ];
  } finally {
    await postgres.stop();
  }
}

async function benchCreates(
  store: string,
  flags: Readonly<Record<string, string>>,
  { quick }: BenchOptions,
): Promise<readonly Row[]> {
  const server = await startLonghaul({ flags });
  const bursts = await pairedBursts([createContender(one, [server], 1, 1), createContender(many, [server], 8, 8)], {
    ...(quick ? { rounds: 3, seconds: 0.5 } : { rounds: 9, seconds: 1 }),
    whenWarm: () => server.process.ask("watchLoop"),
  });
  const holds = await server.process.ask<LoopHolds>("loopHolds");
  await demandAllStored(server);
  await server.process.stop();
  const question = `Event loop of the server during creates in ${store}`;
  return [
    ...burstRows(
      { question: `Durable creates over gRPC in ${store}`, unit: "per s", of: ({ callsPerSecond }) => callsPerSecond },
      bursts,
      [{ of: many, to: one, bar: { atLeast: 4 } }],
    ),
    ...holdRows(question, holds),
  ];
}

/** Callers who create one operation after the other, at each server the same share of them. */
export function createContender(
  name: string,
  servers: readonly LonghaulProcess[],
  connections: number,
  streams: number,
): Contender {
  const request = {
    operationType: "training",
    operationName: "Train on AAPL",
    labels: { team: "research" },
    metadata: { symbol: "AAPL", timeframe: "1h", parameters: { epochs: 100, learning_rate: 0.001 } },
  };
  return {
    name,
    pids: () => servers.map(({ process }) => process.pid),
    targets: servers.map(({ url }) => methodTarget({ serverUrl: url, protocol: "grpc", method, request, token })),
    check: (message) => {
      if (!(message as CreateOperationResponse).operation?.operationId) {
        throw new Error("a create does not answer the operation");
      }
    },
    load: { connections, streams },
  };
}

/** Throws unless every create that was answered is found. */
async function demandAllStored(server: LonghaulProcess): Promise<void> {
  const created = await callsAnswered(server, method, "OK");
  const { byType } = await server.client.rpc.countOperations({});
  const stored = Object.values(byType).reduce((sum, count) => sum + Number(count), 0);
  if (created === 0 || stored !== created) {
    throw new Error(`${created} creates were answered, and ${stored} operations are stored`);
  }
}
