import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { OperationInfoSchema } from "../gen/longhaul/v1/operation_pb.ts";
import type { OperationStore, StoredOperation } from "../src/operations/operation-store.ts";
import { openPostgresStore } from "../src/store/postgres-store.ts";
import { openSqliteStore } from "../src/store/sqlite-store.ts";
import { startPostgres } from "../test/support/postgres-server.ts";
import { temporaryDirectory } from "./harness/leftovers.ts";
import type { BenchOptions, Row } from "./harness/row.ts";
import { ratios, spread } from "./harness/statistics.ts";
import { newOperations, rate } from "./store-in-process.ts";

const callers = 64;

/**
 * How many transitions of different operations per second a store makes durable, one after the other and 64 at once. In
 * this process, so that nothing but the store and its database counts.
 */
export async function benchStoreTransitions(options: BenchOptions): Promise<readonly Row[]> {
  const sqlite = await openSqliteStore(join(temporaryDirectory(), "transitions.db"));
  const ofSqlite = await benchTransitions("SQLite", sqlite, options).finally(() => sqlite.close());
  const postgres = await startPostgres();
  try {
    const { store } = await openPostgresStore(await postgres.createDatabase());
    return [...ofSqlite, ...(await benchTransitions("PostgreSQL", store, options).finally(() => store.close()))];
  } finally {
    await postgres.stop();
  }
}

async function benchTransitions(name: string, store: OperationStore, { quick }: BenchOptions): Promise<Row[]> {
  const times = quick ? 5 : 50;
  const samples = { single: [] as number[], many: [] as number[] };
  let operations = newOperations("t", callers);
  await Promise.all(operations.map((operation) => store.create(operation)));
  const allAtOnce = async () => {
    operations = await Promise.all(operations.map((operation) => moved(store, operation)));
  };
  const eachAfterTheOther = async () => {
    for (const [index, operation] of operations.entries()) {
      operations[index] = await moved(store, operation);
    }
  };
  for (let round = 0; round < (quick ? 3 : 9); round++) {
    samples.single.push(await rate(callers * times, () => repeated(times, eachAfterTheOther)));
    samples.many.push(await rate(callers * times, () => repeated(times, allAtOnce)));
  }
  const question = `Durable transitions in the ${name} store, in the process`;
  const one = "one after the other";
  return [
    { question, subject: one, unit: "per s", value: spread(samples.single) },
    {
      question,
      subject: `${callers} at once`,
      unit: "per s",
      value: spread(samples.many),
      ratios: [{ to: one, of: spread(ratios(samples.many, samples.single)) }],
    },
  ];
}

/** Replaces an operation by its next revision and answers that. */
async function moved(store: OperationStore, stored: StoredOperation): Promise<StoredOperation> {
  const { operationId, revision, status } = stored.info;
  const next = { ...stored, info: create(OperationInfoSchema, { ...stored.info, revision: revision + 1n }) };
  const expected = { expectedRevision: revision, expectedStatus: status, expectedOwner: stored.owner };
  if (!(await store.replace([{ operation: next, ...expected }])).has(operationId)) {
    throw new Error(`a transition of ${operationId} is lost`);
  }
  return next;
}

async function repeated(times: number, body: () => Promise<void>): Promise<void> {
  for (let time = 0; time < times; time++) {
    await body();
  }
}
