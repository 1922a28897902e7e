import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { type ExpressionBuilder, type Kysely, type SqlBool, sql } from "kysely";
import type { OperationFilter } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { PageKey } from "../operations/operation-store.ts";
import type { StoreTables } from "./schema.ts";

/** Up to `limit` snapshots that match, newest first, beginning after `after`. */
export function listQuery(db: Kysely<StoreTables>, filter: OperationFilter, after: PageKey | undefined, limit: number) {
  const { query, createdAt, operationId } = matching(db, filter);
  const page = query.select("operations.info").orderBy(createdAt, "desc").orderBy(operationId, "desc").limit(limit);
  return after === undefined
    ? page
    : page.where(sql<SqlBool>`(${createdAt}, ${operationId}) < (${after.createdAtMs}, ${after.operationId})`);
}

/** How many operations match, by status and type. */
export function countQuery(db: Kysely<StoreTables>, filter: OperationFilter) {
  return matching(db, filter)
    .query.select(({ fn }) => [
      "operations.status",
      "operations.operation_type",
      fn.countAll<number>().as("operation_count"),
    ])
    .groupBy(["operations.status", "operations.operation_type"]);
}

/**
 * The operations that match. With labels, the search goes along the index of the first one, which is in the order of
 * lists as well; hence the columns to sort by.
 */
function matching(db: Kysely<StoreTables>, filter: OperationFilter) {
  const [firstLabel, ...otherLabels] = Object.entries(filter.labels);
  const source = firstLabel === undefined ? "operations" : "label";
  const createdAt = sql.ref<number>(`${source}.created_at`);
  const operationId = sql.ref<string>(`${source}.operation_id`);

  let query = firstLabel === undefined ? db.selectFrom("operations") : labelled(db, firstLabel);
  for (const label of otherLabels) {
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

/** Operations with a label. The joined table shows in the type as if it were not there. */
function labelled(db: Kysely<StoreTables>, [key, value]: [string, string]) {
  const operations = db.selectFrom("operations");
  return operations
    .innerJoin("operation_labels as label", "label.operation_id", "operations.operation_id")
    .where("label.key", "=", key)
    .where("label.value", "=", value) as unknown as typeof operations;
}

function hasLabel(eb: ExpressionBuilder<StoreTables, "operations">, [key, value]: [string, string]) {
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
