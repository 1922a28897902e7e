import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { type Kysely, type SqlBool, sql } from "kysely";
import type { OperationFilter } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { FoldedCondition } from "../operations/fold-condition.ts";
import type { PageKey } from "../operations/operation-store.ts";
import { conditionExpression, hasLabel } from "./condition-expression.ts";
import { activeStatuses } from "./operation-rows.ts";
import type { StoreTables } from "./schema.ts";

/** Operations with a label beyond which it no longer matters how many they are. */
const manyOperations = 1_000;

/** Part of a list: what comes after one position, up to and with another. Undefined is the list's start or end. */
export interface Span {
  readonly after: PageKey | undefined;
  readonly last: PageKey | undefined;
}

/**
 * The operations of a span that match. With the key of a label they are found along its index, which is in the order of
 * lists as well, hence the columns to sort by.
 */
export function matching(
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
export async function rarestLabel(db: Kysely<StoreTables>, filter: OperationFilter): Promise<string | undefined> {
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
