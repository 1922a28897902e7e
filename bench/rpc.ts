import { burstRows, cpuOf } from "./harness/burst-rows.ts";
import { type BurstOptions, pairedBursts } from "./harness/bursts.ts";
import type { Bar, BenchOptions, Row } from "./harness/row.ts";
import type { Protocol } from "./harness/target.ts";
import { type Lane, type Poll, polls, referencePolls, startLanes, startReference } from "./rpc-contenders.ts";

const bare = "bare node:http2";
const grpcJs = "bare grpc-js";
const connectNode = "bare connect-node";

/** The servers under test, the standard one first. */
type Lanes = readonly [Lane, ...Lane[]];

/** What a poll of a running operation costs in CPU, over each protocol, and how long it takes at a steady rate. */
export async function benchRpc({ quick }: BenchOptions): Promise<readonly Row[]> {
  const lanes = await startLanes();
  const burst = quick ? { rounds: 3, seconds: 0.4 } : { rounds: 9, seconds: 1 };
  return [
    ...(await overGrpc(lanes, burst)),
    ...(await notModified(lanes, burst)),
    ...(await overConnect(lanes, "connect", "binary", burst, { atMost: 1.15 })),
    ...(await overConnect(lanes, "connect-json", "JSON", burst)),
    ...(await atSteadyRate(lanes, quick ? { rounds: 2, seconds: 1 } : { rounds: 5, seconds: 4 })),
  ];
}

async function overGrpc(lanes: Lanes, burst: BurstOptions): Promise<readonly Row[]> {
  const bursts = await pairedBursts(
    [
      await reference(bare, lanes, "grpc", "full"),
      await reference(grpcJs, lanes, "grpc", "full"),
      await reference(connectNode, lanes, "grpc", "full"),
      ...lanes.map((lane) => polls(lane, "grpc", "full")),
    ],
    burst,
  );
  return burstRows({ question: "CPU of a GetOperation over gRPC", unit: "µs", of: cpuOf }, bursts, [
    { of: grpcJs, to: bare },
    { of: connectNode, to: bare },
    ...against(lanes, bare, { atMost: 1.6 }),
    ...against(lanes, grpcJs, { atMost: 0.7 }),
  ]);
}

async function notModified(lanes: Lanes, burst: BurstOptions): Promise<readonly Row[]> {
  const bursts = await pairedBursts(
    [await reference(bare, lanes, "grpc", "notModified"), ...lanes.map((lane) => polls(lane, "grpc", "notModified"))],
    burst,
  );
  const question = "CPU of a GetOperation over gRPC with the known revision";
  return burstRows({ question, unit: "µs", of: cpuOf }, bursts, against(lanes, bare));
}

/** The lanes differ in gRPC alone. */
async function overConnect(
  [standard]: Lanes,
  protocol: Protocol,
  encoding: string,
  burst: BurstOptions,
  bar?: Bar,
): Promise<readonly Row[]> {
  const bursts = await pairedBursts(
    [await reference(connectNode, [standard], protocol, "full"), polls(standard, protocol, "full")],
    burst,
  );
  const question = `CPU of a GetOperation over Connect, ${encoding}`;
  return burstRows({ question, unit: "µs", of: cpuOf }, bursts, against([standard], connectNode, bar));
}

async function atSteadyRate(lanes: Lanes, burst: BurstOptions): Promise<readonly Row[]> {
  const load = { connections: 10, streams: 10, rate: 1_000 };
  const contenders = [
    await reference(bare, lanes, "grpc", "full"),
    ...lanes.map((lane) => polls(lane, "grpc", "full")),
  ];
  const bursts = await pairedBursts(
    contenders.map((contender) => ({ ...contender, load })),
    burst,
  );
  const question = "99th percentile of a GetOperation over gRPC at 1,000 calls/s";
  const comparisons = against(lanes, bare, { atMost: 1.5 });
  return burstRows({ question, unit: "µs", of: ({ p99 }) => p99 }, bursts, comparisons);
}

const scripts = { [bare]: "bare-http2", [grpcJs]: "bare-grpc-js", [connectNode]: "bare-connect" } as const;

async function reference(name: keyof typeof scripts, [standard]: Lanes, protocol: Protocol, poll: Poll) {
  const server = await startReference(scripts[name], standard, poll, name === bare);
  return referencePolls(name, server, standard, protocol, poll);
}

/** Compares every lane; the bar is the standard one's. */
function against(lanes: Lanes, to: string, bar?: Bar) {
  return lanes.map(({ name }, index) => ({ of: name, to, ...(index === 0 && bar && { bar }) }));
}
