import type { BenchPart } from "./harness/row.ts";

/** A part of the suite, by its name on the command line. */
export interface NamedPart {
  readonly run: BenchPart;
  /** Default true. */
  readonly needsH2load?: boolean;
}

/** All parts, in the order in which they run and are told of. */
export const parts: ReadonlyMap<string, NamedPart> = new Map<string, NamedPart>([
  ["rpc", { run: async (options) => (await import("./rpc.ts")).benchRpc(options) }],
  ["interceptors", { run: async (options) => (await import("./interceptors.ts")).benchInterceptors(options) }],
  ["store", { run: async (options) => (await import("./store.ts")).benchStore(options), needsH2load: false }],
  ["bridge", { run: async (options) => (await import("./bridge.ts")).benchBridge(options), needsH2load: false }],
  ["metrics", { run: async (options) => (await import("./metrics.ts")).benchMetricsTail(options), needsH2load: false }],
  ["gateway", { run: async (options) => (await import("./gateway.ts")).benchGateway(options) }],
]);
