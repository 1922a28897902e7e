import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { type Kysely, type SqlBool, sql } from "kysely";
import type { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { OperationFilter } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { FoldedCondition } from "../operations/fold-condition.ts";
import type { OperationCount, PageKey } from "../operations/operation-store.ts";
import { conditionExpression, hasLabel } from "./condition-expression.ts";
import { activeStatuses } from "./operation-rows.ts";
import type { StoreTables } from "./schema.ts";

/** Operations with a label beyond which it no longer matters how many they are. */
const manyOperations = 1_000;

/**
 * Up to `limit` operations that match, newest first, beginning after `after`.
 *
 * Those of several statuses are put together from a page of each: an index has those of one status in the order of
 * lists, but those of two only one after the other, and planners then go through all operations instead.
 */
export async function listMatching(
  db: Kysely<StoreTables>,
  { filter, rest }: FoldedCondition,
  after: PageKey | undefined,
  limit: number,
): Promise<{ info: Uint8Array; owner: string | null }[]> {
  const label = await rarestLabel(db, filter);
  const [first, ...others] = new Set(filter.statuses);
  if (first === undefined || others.length === 0 || label !== undefined || filter.parentOperationId !== "") {
    return pageOf(db, { filter, rest }, label, after, limit).execute();
  }
  const pageWith = (status: OperationStatus) =>
    db
      .selectFrom(pageOf(db, { filter: { ...filter, statuses: [status] }, rest }, undefined, after, limit).as("page"))
      .selectAll();
  return db
    .selectFrom(others.reduce((pages, status) => pages.unionAll(pageWith(status)), pageWith(first)).as("pages"))
    .select(["info", "owner"])
    .orderBy("created_at", "desc")
    .orderBy("operation_id", "desc")
    .limit(limit)
    .execute();
}

/** How many operations match, by status and type. */
export async function countMatching(db: Kysely<StoreTables>, wanted: FoldedCondition): Promise<OperationCount[]> {
  const { query } = matching(db, wanted, await rarestLabel(db, wanted.filter));
  return query
    .select(({ fn }) => [
      "operations.status",
      "operations.operation_type as operationType",
      fn.countAll<number>().as("count"),
    ])
    .groupBy(["operations.status", "operations.operation_type"])
    .execute();
}

function pageOf(
  db: Kysely<StoreTables>,
  wanted: FoldedCondition,
  label: string | undefined,
  after: PageKey | undefined,
  limit: number,
) {
  const { query, createdAt, operationId } = matching(db, wanted, label);
  const page = query
    .select(["operations.info", "operations.owner", "operations.created_at", "operations.operation_id"])
    .orderBy(createdAt, "desc")
    .orderBy(operationId, "desc")
    .limit(limit);
  return after === undefined
    ? page
    : page.where(sql<SqlBool>`(${createdAt}, ${operationId}) < (${after.createdAtMs}, ${after.operationId})`);
}

/**
 * The operations that match. With the key of a label they are found along its index, which is in the order of lists as
 * well, hence the columns to sort by.
 */
function matching(db: Kysely<StoreTables>, { filter, rest }: FoldedCondition, label: string | undefined) {
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
