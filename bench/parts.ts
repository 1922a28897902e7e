import type { BenchPart } from "./harness/row.ts";

/** A part of the suite, by its name on the command line. */
export interface NamedPart {
  readonly run: BenchPart;
  /** Default true. */
  readonly needsH2load?: boolean;
}

/**
 * All parts, in the order in which they run and are told of. Those whose names begin alike are run together by what
 * they have in common: "store" is store-in-process, store-transitions and store-over-grpc.
 */
export const parts: ReadonlyMap<string, NamedPart> = new Map<string, NamedPart>([
  ["rpc", { run: async (options) => (await import("./rpc.ts")).benchRpc(options) }],
  ["interceptors", { run: async (options) => (await import("./interceptors.ts")).benchInterceptors(options) }],
  [
    "store-in-process",
    {
      run: async (options) => (await import("./store-in-process.ts")).benchStoreInProcess(options),
      needsH2load: false,
    },
  ],
  [
    "store-transitions",
    {
      run: async (options) => (await import("./store-transitions.ts")).benchStoreTransitions(options),
      needsH2load: false,
    },
  ],
  ["store-over-grpc", { run: async (options) => (await import("./store-over-grpc.ts")).benchStoreOverGrpc(options) }],
  ["bridge", { run: async (options) => (await import("./bridge.ts")).benchBridge(options), needsH2load: false }],
  ["metrics", { run: async (options) => (await import("./metrics.ts")).benchMetricsTail(options), needsH2load: false }],
  ["gateway", { run: async (options) => (await import("./gateway.ts")).benchGateway(options) }],
  ["herd-polls", { run: async (options) => (await import("./herd-polls.ts")).benchHerdPolls(options) }],
  ["herd-waiters", { run: async (options) => (await import("./herd-waiters.ts")).benchHerdWaiters(options) }],
  ["scale", { run: async (options) => (await import("./scale.ts")).benchScale(options), needsH2load: false }],
  ["replicas", { run: async (options) => (await import("./replicas.ts")).benchReplicas(options) }],
  ["start", { run: async (options) => (await import("./start.ts")).benchStart(options), needsH2load: false }],
  ["rivals", { run: async (options) => (await import("./rivals.ts")).benchRivals(options) }],
]);

/** The parts that a name on the command line stands for; none when there is no such name. */
export function partsNamed(name: string): readonly string[] {
  return [...parts.keys()].filter((part) => part === name || part.startsWith(`${name}-`));
}
