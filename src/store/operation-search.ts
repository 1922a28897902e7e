import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { type ExpressionBuilder, type Kysely, type SqlBool, sql } from "kysely";
import type { OperationFilter } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { OperationCount, PageKey } from "../operations/operation-store.ts";
import { activeStatuses } from "./operation-rows.ts";
import type { StoreTables } from "./schema.ts";

/** A label's key and value. */
type Label = readonly [key: string, value: string];

/** Operations with a label beyond which it no longer matters how many they are. */
const manyOperations = 1_000;

/** Up to `limit` snapshots that match, newest first, beginning after `after`. */
export async function listMatching(
  db: Kysely<StoreTables>,
  filter: OperationFilter,
  after: PageKey | undefined,
  limit: number,
): Promise<{ info: Uint8Array }[]> {
  const { query, createdAt, operationId } = await matching(db, filter);
  const page = query.select("operations.info").orderBy(createdAt, "desc").orderBy(operationId, "desc").limit(limit);
  const rest =
    after === undefined
      ? page
      : page.where(sql<SqlBool>`(${createdAt}, ${operationId}) < (${after.createdAtMs}, ${after.operationId})`);
  return rest.execute();
}

/** How many operations match, by status and type. */
export async function countMatching(db: Kysely<StoreTables>, filter: OperationFilter): Promise<OperationCount[]> {
  const { query } = await matching(db, filter);
  return query
    .select(({ fn }) => [
      "operations.status",
      "operations.operation_type as operationType",
      fn.countAll<number>().as("count"),
    ])
    .groupBy(["operations.status", "operations.operation_type"])
    .execute();
}

/**
 * The operations that match. Those with a label are found along the index of their rarest one, which is in the order of
 * lists as well (hence the columns to sort by), unless another condition leaves few in any case.
 */
async function matching(db: Kysely<StoreTables>, filter: OperationFilter) {
  const labels: readonly Label[] = Object.entries(filter.labels);
  const rarest = isNarrow(filter) ? undefined : await rarestLabel(db, labels);
  const source = rarest === undefined ? "operations" : "label";
  const createdAt = sql.ref<number>(`${source}.created_at`);
  const operationId = sql.ref<string>(`${source}.operation_id`);

  let query = rarest === undefined ? db.selectFrom("operations") : labelled(db, rarest);
  for (const label of labels.filter((label) => label !== rarest)) {
    query = query.where((eb) => hasLabel(eb, label));
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
  return { query, createdAt, operationId };
}

/** Whether the operations in question are few, whatever their labels: children of one, or those that have not ended. */
function isNarrow({ statuses, parentOperationId }: OperationFilter): boolean {
  return (
    parentOperationId !== "" || (statuses.length > 0 && statuses.every((status) => activeStatuses.includes(status)))
  );
}

/** Asks the index how many operations have each label; planners know nothing of single values. */
async function rarestLabel(db: Kysely<StoreTables>, labels: readonly Label[]): Promise<Label | undefined> {
  let rarest = labels[0];
  if (labels.length < 2) {
    return rarest;
  }
  let fewest = Number.POSITIVE_INFINITY;
  for (const label of labels) {
    const [key, value] = label;
    const some = db
      .selectFrom("operation_labels")
      .select("operation_id")
      .where("key", "=", key)
      .where("value", "=", value)
      .limit(manyOperations);
    const { count } = await db
      .selectFrom(some.as("some"))
      .select(({ fn }) => fn.countAll<number>().as("count"))
      .executeTakeFirstOrThrow();
    if (count < fewest) {
      fewest = count;
      rarest = label;
    }
  }
  return rarest;
}

/** Operations with a label. The joined table shows in the type as if it were not there. */
function labelled(db: Kysely<StoreTables>, [key, value]: Label) {
  const operations = db.selectFrom("operations");
  return operations
    .innerJoin("operation_labels as label", "label.operation_id", "operations.operation_id")
    .where("label.key", "=", key)
    .where("label.value", "=", value) as unknown as typeof operations;
}

function hasLabel(eb: ExpressionBuilder<StoreTables, "operations">, [key, value]: Label) {
  return eb.exists(
    eb
      .selectFrom("operation_labels as other")
      .select("other.key")
      .whereRef("other.operation_id", "=", "operations.operation_id")
      .where("other.key", "=", key)
      .where("other.value", "=", value),
  );
}

function firstMillisecondFrom({ seconds, nanos }: Timestamp): number {
  return Number(seconds) * 1000 + Math.ceil(nanos / 1_000_000);
}
