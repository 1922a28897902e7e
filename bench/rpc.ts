import { toBinary } from "@bufbuild/protobuf";
import { type OperationInfo, OperationStatus } from "../gen/longhaul/v1/operation_pb.ts";
import { type GetOperationResponse, OperationsService } from "../gen/longhaul/v1/operations_service_pb.ts";
import { burstRows, cpuOf } from "./harness/burst-rows.ts";
import { type Contender, pairedBursts } from "./harness/bursts.ts";
import { type LonghaulProcess, lanes, runOperation, startLonghaul, token } from "./harness/longhaul-process.ts";
import { type PinnedProcess, startNode } from "./harness/pinned-process.ts";
import type { BenchOptions, Row } from "./harness/row.ts";
import { callTarget, framed, methodTarget, type Protocol } from "./harness/target.ts";

const method = OperationsService.method.getOperation;
const bare = "bare node:http2";
const grpcJs = "bare grpc-js";
const connectNode = "bare connect-node";
const [standard = { name: "longhaul" }] = lanes();
const load = { connections: 4, streams: 8 };

/** A server under test with an operation that runs in it. */
interface Lane {
  readonly name: string;
  readonly server: LonghaulProcess;
  readonly operation: OperationInfo;
}

/** What a poll of a running operation costs in CPU, over each protocol, and how long it takes at a steady rate. */
export async function benchRpc({ quick }: BenchOptions): Promise<readonly Row[]> {
  const lanesUp: Lane[] = [];
  for (const { name, flags } of lanes()) {
    const server = await startLonghaul({ flags });
    const operationId = await runOperation(server);
    const operation = await server.client.get(operationId);
    if (operation) {
      lanesUp.push({ name, server, operation });
    }
  }
  const [first] = lanesUp;
  if (!first) {
    throw new Error("no server under test is up");
  }
  const full = await answerOf(first, 0n);
  const notModified = await answerOf(first, first.operation.revision);
  const references = {
    bare: startNode(script("bare-http2"), [hex(framed(full))]),
    bareNotModified: startNode(script("bare-http2"), [hex(framed(notModified))]),
    grpcJs: startNode(script("bare-grpc-js"), [hex(full)]),
    connectNode: startNode(script("bare-connect"), [hex(full)]),
  };
  const burst = quick ? { rounds: 3, seconds: 0.4 } : { rounds: 11, seconds: 1 };
  const isFull = ({ operation }: GetOperationResponse) => operation?.status === OperationStatus.RUNNING;
  const isNotModified = (answer: GetOperationResponse) => answer.notModified;

  const overGrpc = await pairedBursts(
    [
      await reference(bare, references.bare, "grpc", isFull),
      await reference(grpcJs, references.grpcJs, "grpc", isFull),
      await reference(connectNode, references.connectNode, "grpc", isFull),
      ...lanesUp.map((lane) => contender(lane, "grpc", isFull)),
    ],
    burst,
  );
  const known = await pairedBursts(
    [
      await reference(bare, references.bareNotModified, "grpc", isNotModified),
      ...lanesUp.map((lane) => contender(lane, "grpc", isNotModified, lane.operation.revision)),
    ],
    burst,
  );
  const overConnect = await pairedBursts(
    [await reference(connectNode, references.connectNode, "connect", isFull), contender(first, "connect", isFull)],
    burst,
  );
  const overJson = await pairedBursts(
    [
      await reference(connectNode, references.connectNode, "connect-json", isFull),
      contender(first, "connect-json", isFull),
    ],
    burst,
  );
  const steady = { connections: 2, streams: 50, rate: 1_000 };
  const atRate = await pairedBursts(
    [
      { ...(await reference(bare, references.bare, "grpc", isFull)), load: steady },
      ...lanesUp.map((lane) => ({ ...contender(lane, "grpc", isFull), load: steady })),
    ],
    quick ? { rounds: 2, seconds: 1 } : { rounds: 7, seconds: 4 },
  );
  const names = lanesUp.map(({ name }) => name);
  const limit = (name: string, atMost: number) => name === standard.name && { bar: { atMost } };
  return [
    ...burstRows({ question: "CPU of a GetOperation over gRPC", unit: "µs", of: cpuOf }, overGrpc, [
      { of: grpcJs, to: bare },
      { of: connectNode, to: bare },
      ...names.map((of) => ({ of, to: bare, ...limit(of, 1.6) })),
      ...names.map((of) => ({ of, to: grpcJs, ...limit(of, 0.7) })),
    ]),
    ...burstRows(
      { question: "CPU of a GetOperation over gRPC, not modified", unit: "µs", of: cpuOf },
      known,
      names.map((of) => ({ of, to: bare })),
    ),
    ...burstRows({ question: "CPU of a GetOperation over Connect, binary", unit: "µs", of: cpuOf }, overConnect, [
      { of: first.name, to: connectNode, bar: { atMost: 1.15 } },
    ]),
    ...burstRows({ question: "CPU of a GetOperation over Connect, JSON", unit: "µs", of: cpuOf }, overJson, [
      { of: first.name, to: connectNode },
    ]),
    ...burstRows(
      { question: "99th percentile of a GetOperation over gRPC at 1,000 calls/s", unit: "µs", of: ({ p99 }) => p99 },
      atRate,
      names.map((of) => ({ of, to: bare, ...limit(of, 1.5) })),
    ),
  ];
}

function script(name: string): URL {
  return new URL(`./servers/${name}.ts`, import.meta.url);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** What a server under test answers to a poll, encoded: references answer the same. */
async function answerOf({ server, operation }: Lane, knownRevision: bigint): Promise<Uint8Array> {
  const request = { operationId: operation.operationId, knownRevision };
  const { message } = await callTarget(
    methodTarget({ serverUrl: server.url, protocol: "grpc", method, request, token }),
  );
  return toBinary(method.output, message);
}

function contender(
  { name, server, operation: { operationId } }: Lane,
  protocol: Protocol,
  isRight: (answer: GetOperationResponse) => boolean,
  knownRevision = 0n,
): Contender {
  const request = { operationId, knownRevision };
  const target = methodTarget({ serverUrl: server.url, protocol, method, request, token });
  return { name, pids: () => [server.process.pid], targets: [target], check: demand(name, isRight), load };
}

async function reference(
  name: string,
  server: PinnedProcess,
  protocol: Protocol,
  isRight: (answer: GetOperationResponse) => boolean,
): Promise<Contender> {
  const { url } = await server.announced();
  const request = { operationId: "op_training_20250120_093000_reference" };
  const target = methodTarget({ serverUrl: url, protocol, method, request, token });
  return { name, pids: () => [server.pid], targets: [target], check: demand(name, isRight), load };
}

/** Throws when an answer is not what was asked for. */
function demand(name: string, isRight: (answer: GetOperationResponse) => boolean): (message: unknown) => void {
  return (message) => {
    if (!isRight(message as GetOperationResponse)) {
      throw new Error(`${name} answers something else than was asked for`);
    }
  };
}
