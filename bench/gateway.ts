import { OperationStatus } from "../gen/longhaul/v1/operation_pb.ts";
import { type GetOperationResponse, OperationsService } from "../gen/longhaul/v1/operations_service_pb.ts";
import { burstRows, cpuOf } from "./harness/burst-rows.ts";
import { type Contender, pairedBursts } from "./harness/bursts.ts";
import { gatewayFlags, type LonghaulProcess, runOperation, startLonghaul, token } from "./harness/longhaul-process.ts";
import type { BenchOptions, Row } from "./harness/row.ts";
import { methodTarget } from "./harness/target.ts";

const method = OperationsService.method.getOperation;
const direct = "at the host";
const hit = "at the gateway, answered from its cache";
const miss = "at the gateway, which asks the host";

/**
 * What it costs to poll through a gateway, from one caller, who makes one call after the other. Host and gateway are
 * processes that share a core, so that the sum of their work shows in the latency as it does in the CPU.
 */
export async function benchGateway({ quick }: BenchOptions): Promise<readonly Row[]> {
  const host = await startLonghaul();
  const gateway = await startLonghaul(gatewayFlags(host));
  const operationId = await runOperation(gateway);
  const pids = [host.process.pid, gateway.process.pid];
  const contender = (name: string, { url }: LonghaulProcess, maxStaleness: bigint): Contender => {
    const request = { operationId, maxStaleness: { seconds: maxStaleness } };
    return {
      name,
      pids: () => pids,
      targets: [methodTarget({ serverUrl: url, protocol: "grpc", method, request, token })],
      check: (message) => {
        const { operation, freshness } = message as GetOperationResponse;
        if (operation?.status !== OperationStatus.RUNNING || freshness?.stale) {
          throw new Error(`a Get ${name} does not answer the running operation`);
        }
      },
      load: { connections: 1, streams: 1 },
    };
  };
  const bursts = await pairedBursts(
    [contender(direct, host, 0n), contender(hit, gateway, 60n), contender(miss, gateway, 0n)],
    quick ? { rounds: 3, seconds: 0.5 } : { rounds: 11, seconds: 1 },
  );
  const against = [{ of: hit, to: direct }];
  return [
    ...burstRows({ question: "Median latency of a GetOperation", unit: "µs", of: ({ p50 }) => p50 }, bursts, [
      ...against,
      { of: miss, to: direct, bar: { atMost: 2.5 } },
    ]),
    ...burstRows({ question: "CPU of host and gateway for a GetOperation", unit: "µs", of: cpuOf }, bursts, [
      ...against,
      { of: miss, to: direct },
    ]),
  ];
}
