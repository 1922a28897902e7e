import { OperationStatus } from "../gen/longhaul/v1/operation_pb.ts";
import { type GetOperationResponse, OperationsService } from "../gen/longhaul/v1/operations_service_pb.ts";
import { burstRows } from "./harness/burst-rows.ts";
import { type Contender, pairedBursts } from "./harness/bursts.ts";
import { runOperation, startLonghaul, token } from "./harness/longhaul-process.ts";
import type { BenchOptions, Row } from "./harness/row.ts";
import { methodTarget, type Protocol } from "./harness/target.ts";
import { installQueues, type JobQueue, startBullmq, startPgBoss } from "./rivals/job-queues.ts";
import { redisVersion } from "./rivals/redis-server.ts";
import {
  startTemporal,
  temporalInstall,
  temporalProgram,
  temporalVersion,
  workflowId,
} from "./rivals/temporal-server.ts";

const method = OperationsService.method.getOperation;
const load = { connections: 4, streams: 8 };
const longhaul = "longhaul";

/**
 * Polls of one running job for each second of CPU, of all processes that take part in answering: what is offered here,
 * with every interceptor, and what a user would build on a job queue, with none. Over the same protocols, with the same
 * answer; Temporal answers its own.
 */
export async function benchRivals({ quick }: BenchOptions): Promise<readonly Row[]> {
  const missing: string[] = [];
  const queues: JobQueue[] = [];
  const notInstalled = installQueues();
  try {
    if (notInstalled !== undefined) {
      missing.push(notInstalled);
    } else {
      if (redisVersion() === undefined) {
        missing.push("BullMQ is left out: redis-server is not installed (apt-get install redis-server)");
      } else {
        queues.push(await startBullmq());
      }
      queues.push(await startPgBoss());
    }
    const temporal = await temporalContender(missing);
    const server = await startLonghaul();
    const operationId = await runOperation(server);
    const contenders = (protocol: Protocol): Contender[] => [
      poll({ name: longhaul, url: server.url, jobId: operationId, pids: () => [server.process.pid] }, protocol),
      ...queues.map((queue) => poll(queue, protocol)),
    ];
    const burst = quick ? { rounds: 3, seconds: 0.5 } : { rounds: 9, seconds: 1 };
    const overGrpc = await pairedBursts([...contenders("grpc"), ...temporal], burst);
    const overConnect = await pairedBursts(contenders("connect"), burst);
    const figure = (question: string) => ({ question, unit: "per s", of: ({ cpu }: { cpu: number }) => 1e6 / cpu });
    const comparisons = queues.map(({ name: to }) => ({ of: longhaul, to, bar: { atLeast: 3 } }));
    const rows = [
      ...burstRows(figure("Polls for each second of CPU, over gRPC"), overGrpc, [
        ...comparisons,
        ...temporal.map(({ name }) => ({ of: longhaul, to: name })),
      ]),
      ...burstRows(figure("Polls for each second of CPU, over Connect"), overConnect, comparisons),
    ];
    const [first, ...others] = rows;
    return first && missing.length > 0 ? [{ ...first, note: missing.join("; ") }, ...others] : rows;
  } finally {
    for (const queue of queues) {
      await queue.stop();
    }
  }
}

function poll({ name, url, jobId, pids }: Omit<JobQueue, "stop">, protocol: Protocol): Contender {
  const request = { operationId: jobId };
  return {
    name,
    pids,
    targets: [methodTarget({ serverUrl: url, protocol, method, request, token })],
    check: (message) => {
      const { operation } = message as GetOperationResponse;
      const isRight =
        operation?.operationId === jobId &&
        operation.status === OperationStatus.RUNNING &&
        operation.progress?.percentage === 10 &&
        operation.metadata?.symbol === "AAPL";
      if (!isRight) {
        throw new Error(`${name} does not answer the running job`);
      }
    },
    load,
  };
}

/** Temporal, or none and why. */
async function temporalContender(missing: string[]): Promise<Contender[]> {
  const program = temporalProgram();
  if (program === undefined) {
    missing.push(`Temporal is left out: its program is not installed (${temporalInstall})`);
    return [];
  }
  const temporal = await startTemporal(program);
  return [
    {
      name: `Temporal ${temporalVersion(program)} dev server, DescribeWorkflowExecution`,
      pids: () => [temporal.process.pid],
      targets: [temporal.poll],
      check: (message) => {
        if (!String(message).includes(workflowId)) {
          throw new Error("Temporal does not describe the workflow");
        }
      },
      load,
    },
  ];
}
