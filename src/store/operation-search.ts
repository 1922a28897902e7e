import { setImmediate } from "node:timers/promises";
import type { Kysely } from "kysely";
import type { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { FoldedCondition } from "../operations/fold-condition.ts";
import type { OperationCondition } from "../operations/operation-condition.ts";
import type { OperationCount, PageKey } from "../operations/operation-store.ts";
import { matching, rarestLabel, type Span } from "./matching-operations.ts";
import type { StoreTables } from "./schema.ts";

/** Comparisons that one statement makes row by row at the most; SQLite makes about 500 in a millisecond. */
const testsPerStatement = 10_000;
/** Operations that are looked at first when a condition is tested row by row: a page of common ones is found there. */
const firstRows = 200;

/** Up to `limit` operations that match, newest first, beginning after `after`. */
export async function listMatching(
  db: Kysely<StoreTables>,
  wanted: FoldedCondition,
  after: PageKey | undefined,
  limit: number,
): Promise<{ info: Uint8Array; owner: string | null }[]> {
  const label = await rarestLabel(db, wanted.filter);
  const found: { info: Uint8Array; owner: string | null }[] = [];
  for await (const span of spans(db, wanted, label, after)) {
    found.push(...(await pageOf(db, wanted, label, span, limit - found.length).execute()));
    if (found.length === limit) {
      break;
    }
  }
  return found;
}

/** How many operations match, by status and type. */
export async function countMatching(db: Kysely<StoreTables>, wanted: FoldedCondition): Promise<OperationCount[]> {
  const label = await rarestLabel(db, wanted.filter);
  const counts = new Map<string, OperationCount>();
  for await (const span of spans(db, wanted, label, undefined)) {
    const lines = await matching(db, wanted, label, span)
      .query.select(({ fn }) => [
        "operations.status",
        "operations.operation_type as operationType",
        fn.countAll<number>().as("count"),
      ])
      .groupBy(["operations.status", "operations.operation_type"])
      .execute();
    for (const { status, operationType, count } of lines) {
      const key = `${status} ${operationType}`;
      counts.set(key, { status, operationType, count: count + (counts.get(key)?.count ?? 0) });
    }
  }
  return [...counts.values()];
}

/**
 * The list in spans short enough for what is tested row by row: SQLite answers while everything else waits, and other
 * databases end statements that take long. Without such tests, the whole list.
 */
async function* spans(
  db: Kysely<StoreTables>,
  { filter, rest }: FoldedCondition,
  label: string | undefined,
  start: PageKey | undefined,
): AsyncGenerator<Span> {
  let after = start;
  if (rest && !isFoundById(rest)) {
    const mostRows = Math.ceil(testsPerStatement / numberOfTests(rest));
    for (let rows = Math.min(firstRows, mostRows); ; rows = Math.min(rows * 4, mostRows)) {
      const { query, createdAt, operationId } = matching(db, { filter, rest: undefined }, label, {
        after,
        last: undefined,
      });
      const last = await query
        .select([createdAt.as("createdAtMs"), operationId.as("operationId")])
        .orderBy(createdAt, "desc")
        .orderBy(operationId, "desc")
        .limit(1)
        .offset(rows - 1)
        .executeTakeFirst();
      if (last === undefined) {
        break;
      }
      yield { after, last };
      after = last;
      await setImmediate();
    }
  }
  yield { after, last: undefined };
}

/** Whether few operations are in question, which an index has by their id or that of their parent. */
function isFoundById(rest: OperationCondition): boolean {
  return rest.kind === "all"
    ? rest.conditions.some(isFoundById)
    : rest.kind === "text" && (rest.field === "operation_id" || rest.field === "parent_operation_id");
}

/** How many comparisons a row may need. */
function numberOfTests(condition: OperationCondition): number {
  switch (condition.kind) {
    case "all":
    case "any":
      return condition.conditions.reduce((sum, one) => sum + numberOfTests(one), 1);
    case "not":
      return numberOfTests(condition.condition);
    default:
      return 1;
  }
}

/**
 * A page of a span. That of several statuses is put together from a page of each: an index has those of one status in
 * the order of lists, but those of two only one after the other, and planners then go through all operations instead.
 */
function pageOf(
  db: Kysely<StoreTables>,
  wanted: FoldedCondition,
  label: string | undefined,
  span: Span,
  limit: number,
) {
  const { filter, rest } = wanted;
  const [first, ...others] = new Set(filter.statuses);
  if (first === undefined || others.length === 0 || label !== undefined || filter.parentOperationId !== "") {
    return orderedPage(db, wanted, label, span, limit);
  }
  const pageWith = (status: OperationStatus) => {
    const page = orderedPage(db, { filter: { ...filter, statuses: [status] }, rest }, undefined, span, limit);
    return db.selectFrom(page.as("page")).selectAll();
  };
  return db
    .selectFrom(others.reduce((pages, status) => pages.unionAll(pageWith(status)), pageWith(first)).as("pages"))
    .selectAll()
    .orderBy("created_at", "desc")
    .orderBy("operation_id", "desc")
    .limit(limit);
}

function orderedPage(
  db: Kysely<StoreTables>,
  wanted: FoldedCondition,
  label: string | undefined,
  span: Span,
  limit: number,
) {
  const { query, createdAt, operationId } = matching(db, wanted, label, span);
  return query
    .select(["operations.info", "operations.owner", "operations.created_at", "operations.operation_id"])
    .orderBy(createdAt, "desc")
    .orderBy(operationId, "desc")
    .limit(limit);
}
