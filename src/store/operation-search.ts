import { setImmediate } from "node:timers/promises";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { type Kysely, type SqlBool, sql } from "kysely";
import type { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { OperationFilter } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { FoldedCondition } from "../operations/fold-condition.ts";
import type { OperationCondition } from "../operations/operation-condition.ts";
import type { OperationCount, PageKey } from "../operations/operation-store.ts";
import { conditionExpression, hasLabel } from "./condition-expression.ts";
import { activeStatuses } from "./operation-rows.ts";
import type { StoreTables } from "./schema.ts";

/** Operations with a label beyond which it no longer matters how many they are. */
const manyOperations = 1_000;
/** Comparisons that one statement makes row by row at the most; SQLite makes about 500 in a millisecond. */
const testsPerStatement = 10_000;
/** Operations that are looked at first when a condition is tested row by row: a page of common ones is found there. */
const firstRows = 200;

/** Part of a list: what comes after one position, up to and with another. Undefined is the list's start or end. */
interface Span {
  readonly after: PageKey | undefined;
  readonly last: PageKey | undefined;
}

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

/**
 * The operations of a span that match. With the key of a label they are found along its index, which is in the order of lists as
 * well, hence the columns to sort by.
 */
function matching(
  db: Kysely<StoreTables>,
  { filter, rest }: FoldedCondition,
  label: string | undefined,
  { after, last }: Span,
) {
  const source = label === undefined ? "operations" : "label";
  const createdAt = sql.ref<number>(`${source}.created_at`);
  const operationId = sql.ref<string>(`${source}.operation_id`);

  let query = label === undefined ? db.selectFrom("operations") : labelled(db, label, filter.labels[label] ?? "");
  for (const [key, value] of Object.entries(filter.labels)) {
    if (key !== label) {
      query = query.where((eb) => hasLabel(eb, key, (text) => sql`${text} = ${value}`));
    }
  }
  if (filter.operationTypes.length > 0) {
    query = query.where("operations.operation_type", "in", filter.operationTypes);
  }
  if (filter.statuses.length > 0) {
    query = query.where("operations.status", "in", filter.statuses);
  }
  if (filter.parentOperationId !== "") {
    query = query.where("operations.parent_operation_id", "=", filter.parentOperationId);
  }
  if (filter.createdAfter) {
    query = query.where(createdAt, ">=", firstMillisecondFrom(filter.createdAfter));
  }
  if (filter.createdBefore) {
    query = query.where(createdAt, "<", firstMillisecondFrom(filter.createdBefore));
  }
  if (after) {
    query = query.where(sql<SqlBool>`(${createdAt}, ${operationId}) < (${after.createdAtMs}, ${after.operationId})`);
  }
  if (last) {
    query = query.where(sql<SqlBool>`(${createdAt}, ${operationId}) >= (${last.createdAtMs}, ${last.operationId})`);
  }
  if (rest) {
    query = query.where((eb) => conditionExpression(eb, rest));
  }
  return { query, createdAt, operationId };
}

/** Whether the operations in question are few, whatever their labels: children of one, or those that have not ended. */
function isNarrow({ statuses, parentOperationId }: OperationFilter): boolean {
  return (
    parentOperationId !== "" || (statuses.length > 0 && statuses.every((status) => activeStatuses.includes(status)))
  );
}

/**
 * The key of the label to find operations by; undefined when there is a better way. Asks the index how many operations
 * have each label, because planners know nothing of single values.
 */
async function rarestLabel(db: Kysely<StoreTables>, filter: OperationFilter): Promise<string | undefined> {
  const labels = Object.entries(filter.labels);
  if (isNarrow(filter)) {
    return undefined;
  }
  let rarest = labels[0]?.[0];
  let fewest = Number.POSITIVE_INFINITY;
  for (const [key, value] of labels.length > 1 ? labels : []) {
    const some = db
      .selectFrom("operation_labels")
      .select("operation_id")
      .where("key", "=", key)
      .where("value", "=", value)
      // In the order of the index, so that it is read no further.
      .orderBy("created_at", "desc")
      .orderBy("operation_id", "desc")
      .limit(manyOperations);
    const { count } = await db
      .selectFrom(some.as("some"))
      .select(({ fn }) => fn.countAll<number>().as("count"))
      .executeTakeFirstOrThrow();
    if (count < fewest) {
      fewest = count;
      rarest = key;
    }
  }
  return rarest;
}

/** Operations with a label. The joined table shows in the type as if it were not there. */
function labelled(db: Kysely<StoreTables>, key: string, value: string) {
  const operations = db.selectFrom("operations");
  return operations
    .innerJoin("operation_labels as label", "label.operation_id", "operations.operation_id")
    .where("label.key", "=", key)
    .where("label.value", "=", value) as unknown as typeof operations;
}

function firstMillisecondFrom({ seconds, nanos }: Timestamp): number {
  return Number(seconds) * 1000 + Math.ceil(nanos / 1_000_000);
}
