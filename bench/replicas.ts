import { OperationStatus } from "../gen/longhaul/v1/operation_pb.ts";
import { type GetOperationResponse, OperationsService } from "../gen/longhaul/v1/operations_service_pb.ts";
import { startPostgres } from "../test/support/postgres-server.ts";
import { burstRows, cpuOf } from "./harness/burst-rows.ts";
import { type Contender, pairedBursts } from "./harness/bursts.ts";
import { cores } from "./harness/cores.ts";
import { runOperation, startLonghaul, token } from "./harness/longhaul-process.ts";
import type { BenchOptions, Row } from "./harness/row.ts";
import { methodTarget } from "./harness/target.ts";
import { createContender } from "./store-over-grpc.ts";

const method = OperationsService.method.getOperation;
const own = "longhaul, an operation of this replica";
const others = "longhaul, an operation of another replica";
const single = "creates at 1 of 3 replicas";
const spreadOut = "creates at 3 of 3 replicas";

/**
 * Three servers over one PostgreSQL, on all cores: what it costs to ask the one that does not own an operation, and
 * what more servers bring for creates.
 */
export async function benchReplicas({ quick }: BenchOptions): Promise<readonly Row[]> {
  const postgres = await startPostgres();
  try {
    const flags = { databaseUrl: await postgres.createDatabase() };
    const start = () => startLonghaul({ flags, core: cores.all });
    const [first, second, third] = [await start(), await start(), await start()];
    const replicas = [first, second, third];
    const burst = quick ? { rounds: 3, seconds: 0.5 } : { rounds: 9, seconds: 1 };
    const get = (name: string, operationId: string): Contender => ({
      name,
      pids: () => replicas.map(({ process }) => process.pid),
      targets: [methodTarget({ serverUrl: first.url, protocol: "grpc", method, request: { operationId }, token })],
      check: (message) => {
        const { operation, freshness } = message as GetOperationResponse;
        if (operation?.status !== OperationStatus.RUNNING || freshness?.stale) {
          throw new Error("a Get does not answer the running operation");
        }
      },
      load: { connections: 4, streams: 8 },
    });
    const gets = await pairedBursts(
      [get(own, await runOperation(first)), get(others, await runOperation(second))],
      burst,
    );
    const creates = await pairedBursts(
      [createContender(single, [first], 12, 5), createContender(spreadOut, replicas, 12, 5)],
      burst,
    );
    const comparison = [{ of: others, to: own }];
    return [
      ...burstRows({ question: "CPU of all replicas for a GetOperation", unit: "µs", of: cpuOf }, gets, comparison),
      ...burstRows(
        { question: "Median latency of a GetOperation at a replica", unit: "µs", of: ({ p50 }) => p50 },
        gets,
        comparison,
      ),
      ...burstRows(
        {
          question: "Durable creates of 60 callers with three replicas over one PostgreSQL",
          unit: "per s",
          of: ({ callsPerSecond }) => callsPerSecond,
        },
        creates,
        [{ of: spreadOut, to: single }],
      ),
    ];
  } finally {
    await postgres.stop();
  }
}
