import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { OperationStatus } from "../gen/longhaul/v1/operation_pb.ts";
import { OperationFilterSchema } from "../gen/longhaul/v1/operations_service_pb.ts";
import type { OperationStore, PageKey } from "../src/operations/operation-store.ts";
import { openSqliteStore } from "../src/store/sqlite-store.ts";
import { filledFromMs, filledId, fillStore, rareOperations, recordsPerLog } from "./filled-store.ts";
import { temporaryDirectory } from "./harness/leftovers.ts";
import type { BenchOptions, Spread } from "./harness/row.ts";
import { ratios, shuffled, spread } from "./harness/statistics.ts";
import { heldBy } from "./harness/thread-time.ts";
import { benchRunning, type RunningCosts } from "./running-operations.ts";

/** What a call costs in a large store against a small one. */
export interface ScaleCall {
  readonly name: string;
  /** CPU time of one call, large to small. */
  readonly ratio: Spread;
  /** The longest that the event loop stood still meanwhile with the large store, in milliseconds. */
  readonly heldMs: Spread;
}

type Filter = MessageInitShape<typeof OperationFilterSchema>;

interface Case {
  readonly name: string;
  /** Looks at the small store first. */
  readonly prepare?: (small: OperationStore, operations: number) => Promise<void>;
  /** One call; `turn` counts them, so that not all ask for the same. Answers how much it found. */
  readonly call: (store: OperationStore, operations: number, turn: number) => Promise<number>;
  /** How much it has to find. Default: anything. */
  readonly finds?: (operations: number) => number;
}

const { PENDING, RUNNING, COMPLETED, FAILED } = OperationStatus;
/** Operations in the two stores. */
const fullSizes = [1_000, 1_000_000] as const;
const quickSizes = [1_000, 20_000] as const;
const rounds = 9;
const longRounds = 3;
const pageSize = 50;
const recordsPerPage = 50;
/**
 * A burst is so many calls or takes so long, in milliseconds, whichever is over first. Long, because some systems tell CPU
 * time in steps of 4 ms.
 */
const burst = { calls: 10_000, ms: 100 };

const range = (operations: number): Filter => ({
  createdAfter: timestampFromMs(filledFromMs + operations * 300),
  createdBefore: timestampFromMs(filledFromMs + operations * 500),
});

/** Every condition, frequent, rare and empty, and pairs of them; with how many operations match, unless many. */
const filters: readonly [name: string, filter: Filter | ((operations: number) => Filter), matches?: number][] = [
  ["of all", {}],
  ["of a type", { operationTypes: ["training"] }],
  ["of a rare type", { operationTypes: ["tuning"] }, rareOperations],
  ["of a type nobody has", { operationTypes: ["nothing"] }, 0],
  ["of three types", { operationTypes: ["training", "data_load", "tuning"] }],
  ["of a status", { statuses: [COMPLETED] }],
  ["of a rare status", { statuses: [PENDING] }, rareOperations],
  ["of three statuses", { statuses: [PENDING, RUNNING, FAILED] }],
  ["of type and status", { operationTypes: ["training"], statuses: [FAILED] }],
  ["of type and status, never together", { operationTypes: ["data_load"], statuses: [FAILED] }, 0],
  ["of types and statuses", { operationTypes: ["training", "backtesting"], statuses: [RUNNING, FAILED] }],
  ["of a parent", { parentOperationId: filledId(0) }, rareOperations],
  ["of a parent without children", { parentOperationId: filledId(5) }, 0],
  ["of a label", { labels: { team: "risk" } }],
  ["of a rare label", { labels: { experiment: "one" } }, rareOperations],
  ["of a label nobody has", { labels: { experiment: "two" } }, 0],
  ["of two labels", { labels: { team: "risk", stage: "prod" } }],
  ["of a label and a rare one", { labels: { stage: "none", experiment: "one" } }, 0],
  ["of label and type", { labels: { team: "risk" }, operationTypes: ["training"] }],
  ["of label and status", { labels: { team: "risk" }, statuses: [FAILED] }],
  ["of a label nobody has and a rare status", { labels: { team: "none" }, statuses: [PENDING] }, 0],
  ["of a range", range],
  ["of an empty range", { createdAfter: timestampFromMs(0), createdBefore: timestampFromMs(1) }, 0],
  ["of range and type", (operations) => ({ ...range(operations), operationTypes: ["training"] })],
  [
    "of range and status",
    (operations) => ({ ...range(operations), statuses: [RUNNING, FAILED], operationTypes: ["training"] }),
  ],
  ["of range and label", (operations) => ({ ...range(operations), labels: { team: "risk" } })],
];

/**
 * A page of one filter: the first one, and one from the middle. Where the small store has less than a page, no more is
 * asked of the large one; what is rare or missing is in both as often, and the end of the list belongs to the page.
 */
function listCases([name, filter, matches]: (typeof filters)[number]): Case[] {
  const filterFor = typeof filter === "function" ? filter : () => filter;
  const pageCase = (isDeep: boolean): Case => {
    const pageOf = (store: OperationStore, operations: number, limit: number) => {
      const middle = { createdAtMs: filledFromMs + operations * 500, operationId: "" };
      return page(store, filterFor(operations), isDeep ? middle : undefined, limit);
    };
    let limit = pageSize;
    return {
      name: `List ${name}${isDeep ? ", deep" : ""}`,
      prepare: async (store, operations) => {
        limit = matches === undefined ? await pageOf(store, operations, pageSize) : pageSize;
      },
      call: (store, operations) => pageOf(store, operations, limit),
      finds: () => (matches === undefined ? limit : isDeep ? matches / 2 : matches),
    };
  };
  return matches === 0 ? [pageCase(false)] : [pageCase(false), pageCase(true)];
}

async function page(store: OperationStore, filter: Filter, after: PageKey | undefined, limit: number) {
  return (await store.list(create(OperationFilterSchema, filter), after, limit)).length;
}

async function count(store: OperationStore, filter: Filter): Promise<number> {
  const lines = await store.count(create(OperationFilterSchema, filter));
  return lines.reduce((sum, line) => sum + line.count, 0);
}

async function metrics(store: OperationStore, operations: number, turn: number, cursor: number): Promise<number> {
  const operationId = filledId(scattered(turn, operations / 100) * 100);
  const { cursor: end } = await store.metricsLog(operationId);
  return (await store.readMetrics(operationId, Math.min(cursor, end), recordsPerPage)).length;
}

/** Another operation each turn, from all over the store. */
function scattered(turn: number, operations: number): number {
  return (turn * 7_919) % operations;
}

const readCases: readonly Case[] = [
  {
    name: "Get",
    call: async (store, operations, turn) => ((await store.get(filledId(scattered(turn, operations)))) ? 1 : 0),
    finds: () => 1,
  },
  {
    name: "Get of none",
    call: async (store, _, turn) => ((await store.get(`${filledId(turn)}x`)) ? 1 : 0),
    finds: () => 0,
  },
  {
    name: "GetMetrics from the start",
    call: (store, operations, turn) => metrics(store, operations, turn, 0),
    finds: () => recordsPerPage,
  },
  {
    name: "GetMetrics of the tail",
    call: (store, operations, turn) => metrics(store, operations, turn, recordsPerLog - recordsPerPage),
    finds: () => recordsPerPage,
  },
];

const countCases: readonly Case[] = [
  { name: "Count of all", call: (store) => count(store, {}), finds: (operations) => operations },
  { name: "Count of a type", call: (store) => count(store, { operationTypes: ["training"] }) },
  {
    name: "Count of a rare status",
    call: (store) => count(store, { statuses: [PENDING] }),
    finds: () => rareOperations,
  },
  {
    name: "Count of a rare label",
    call: (store) => count(store, { labels: { experiment: "one" } }),
    finds: () => rareOperations,
  },
];

const longCases: readonly Case[] = [
  // Each holds for many operations and both for none: somebody has to look.
  {
    name: "List of two labels, never together",
    call: (store) => page(store, { labels: { team: "research", stage: "prod" } }, undefined, pageSize),
    finds: () => 0,
  },
  {
    name: "Count of a label",
    call: (store) => count(store, { labels: { team: "risk" } }),
    finds: (operations) => operations / 4,
  },
  {
    name: "Count of a range",
    call: (store, operations) => count(store, range(operations)),
    finds: (operations) => operations / 5,
  },
  {
    name: "Count of label and status",
    call: (store) => count(store, { labels: { team: "risk" }, statuses: [FAILED] }),
  },
];

/** What growth costs. */
export interface ScaleResults {
  readonly sizes: readonly [small: number, large: number];
  readonly calls: readonly ScaleCall[];
  /** What costs in proportion to what it has to look at, and what it holds up meanwhile. */
  readonly longCalls: readonly ScaleCall[];
  readonly running: RunningCosts;
}

/** Measures growth, in the temporary directory: about 2 GB, for some minutes. */
export async function measureScale({ quick }: BenchOptions): Promise<ScaleResults> {
  const directory = temporaryDirectory();
  const sizes = quick ? quickSizes : fullSizes;
  const stores: SizedStore[] = [];
  try {
    for (const operations of sizes) {
      const path = join(directory, `${operations}.db`);
      await fillStore(path, operations);
      stores.push({ operations, store: await openSqliteStore(path) });
    }
    const [small, large] = stores as [SizedStore, SizedStore];
    const calls: ScaleCall[] = [];
    for (const one of [...readCases, ...filters.flatMap(listCases), ...countCases]) {
      calls.push(await compare(one, small, large, quick ? longRounds : rounds));
    }
    const longCalls: ScaleCall[] = [];
    for (const one of longCases) {
      longCalls.push(await compare(one, small, large, longRounds));
    }
    return { sizes, calls, longCalls, running: await benchRunning() };
  } finally {
    await Promise.all(stores.map(({ store }) => store.close()));
  }
}

interface SizedStore {
  readonly operations: number;
  readonly store: OperationStore;
}

/** Bursts on both stores, in turns and in random order; the first round only warms up. */
async function compare(one: Case, small: SizedStore, large: SizedStore, rounds: number): Promise<ScaleCall> {
  const times = new Map<SizedStore, number[]>([
    [small, []],
    [large, []],
  ]);
  const held: number[] = [];
  await one.prepare?.(small.store, small.operations);
  for (let round = 0; round <= rounds; round++) {
    for (const sized of shuffled([small, large])) {
      times.get(sized)?.push(await burstOf(one, sized.store, sized.operations, round));
    }
    held.push(await heldBy(() => one.call(large.store, large.operations, round)));
  }
  const [smallTimes = [], largeTimes = []] = [small, large].map((sized) => times.get(sized)?.slice(1));
  return { name: one.name, ratio: spread(ratios(largeTimes, smallTimes)), heldMs: spread(held) };
}

/** CPU time of one call in microseconds, the average of a burst. Throws an Error when a call does not find what it has to. */
async function burstOf(one: Case, store: OperationStore, operations: number, round: number): Promise<number> {
  const before = process.cpuUsage();
  const startedMs = performance.now();
  let calls = 0;
  while (calls < burst.calls && performance.now() - startedMs < burst.ms) {
    const found = await one.call(store, operations, round * burst.calls + calls);
    const wanted = one.finds?.(operations) ?? found;
    if (found !== wanted) {
      throw new Error(`${one.name}: found ${found} of ${wanted} in a store of ${operations}`);
    }
    calls += 1;
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / calls;
}
