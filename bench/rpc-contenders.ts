import { fileURLToPath } from "node:url";
import { toBinary } from "@bufbuild/protobuf";
import { type OperationInfo, OperationStatus } from "../gen/longhaul/v1/operation_pb.ts";
import { type GetOperationResponse, OperationsService } from "../gen/longhaul/v1/operations_service_pb.ts";
import type { Contender } from "./harness/bursts.ts";
import { type LonghaulProcess, lanes, runOperation, startLonghaul, token } from "./harness/longhaul-process.ts";
import { type PinnedProcess, startNode } from "./harness/pinned-process.ts";
import { callTarget, framed, methodTarget, type Protocol } from "./harness/target.ts";

const method = OperationsService.method.getOperation;
const load = { connections: 4, streams: 8 };

/** A server under test with an operation that runs in it. */
export interface Lane {
  readonly name: string;
  readonly server: LonghaulProcess;
  readonly operation: OperationInfo;
}

/** Which answer a poll gets: the operation, or that it is still the one the caller knows. */
export type Poll = "full" | "notModified";

/** Starts a server for each way to answer; at least one. The first is what users get. */
export async function startLanes(): Promise<readonly [Lane, ...Lane[]]> {
  const [standard, ...others] = lanes().map(async ({ name, flags }): Promise<Lane> => {
    const server = await startLonghaul({ flags });
    const operation = await server.client.get(await runOperation(server));
    if (!operation) {
      throw new Error(`${name} does not know its operation`);
    }
    return { name, server, operation };
  });
  return [await (standard as Promise<Lane>), ...(await Promise.all(others))];
}

/** Polls of a server under test. */
export function polls({ name, server, operation }: Lane, protocol: Protocol, poll: Poll): Contender {
  return {
    name,
    pids: () => [server.process.pid],
    targets: [target(server.url, protocol, operation, poll)],
    check: demand(name, operation, poll),
    load,
  };
}

/** Polls of a reference that answers what a server under test answers, from a message it has ready. */
export async function referencePolls(
  name: string,
  server: PinnedProcess,
  { operation }: Lane,
  protocol: Protocol,
  poll: Poll,
): Promise<Contender> {
  const { url } = await server.announced();
  return {
    name,
    pids: () => [server.pid],
    targets: [target(url, protocol, operation, poll)],
    check: demand(name, operation, poll),
    load,
  };
}

/** Starts a reference of bench/servers/ with the answer that a server under test gives; `isFramed` with gRPC's prefix. */
export async function startReference(script: string, lane: Lane, poll: Poll, isFramed = false): Promise<PinnedProcess> {
  const { message } = await callTarget(target(lane.server.url, "grpc", lane.operation, poll));
  const encoded = toBinary(method.output, message);
  const answer = Buffer.from(isFramed ? framed(encoded) : encoded).toString("hex");
  return startNode(fileURLToPath(new URL(`./servers/${script}.ts`, import.meta.url)), [answer]);
}

function target(serverUrl: string, protocol: Protocol, { operationId, revision }: OperationInfo, poll: Poll) {
  const request = { operationId, knownRevision: poll === "notModified" ? revision : 0n };
  return methodTarget({ serverUrl, protocol, method, request, token });
}

/** Throws when an answer is not what was asked for. */
function demand(name: string, { operationId, revision }: OperationInfo, poll: Poll): (message: unknown) => void {
  return (message) => {
    const { operation, notModified, freshness } = message as GetOperationResponse;
    const isRight =
      poll === "notModified"
        ? notModified && !operation
        : operation?.operationId === operationId &&
          operation.revision === revision &&
          operation.status === OperationStatus.RUNNING &&
          operation.progress?.percentage === 10;
    if (!isRight || freshness?.stale) {
      throw new Error(`${name} answers something else than was asked for`);
    }
  };
}
