import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { type Kysely, type SelectQueryBuilder, type SqlBool, sql } from "kysely";
import type { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { OperationFilter } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { FoldedCondition } from "../operations/fold-condition.ts";
import type { PageKey } from "../operations/operation-store.ts";
import { conditionExpression, hasLabel } from "./condition-expression.ts";
import type { StoreTables } from "./schema.ts";
import type { Path } from "./walk.ts";

/** Part of a list: what comes after one position, up to and with another. Undefined is the list's start or end. */
export interface Span {
  readonly after: PageKey | undefined;
  readonly last: PageKey | undefined;
}

/** Operations in question; more tables may be joined than the type shows. */
type Operations = SelectQueryBuilder<StoreTables, "operations", unknown>;

/** Positions in the order of lists. */
export type Positions = SelectQueryBuilder<
  StoreTables,
  "operations",
  { readonly created_at: number; readonly operation_id: string }
>;

/**
 * Columns in expressions that no index has: for conditions beside a path, which is the way to go whatever a planner
 * thinks of the others.
 */
export const unindexed = {
  operationType: sql<string>`operations.operation_type || ''`,
  status: sql<OperationStatus>`operations.status + 0`,
  parentOperationId: sql<string>`operations.parent_operation_id || ''`,
};

/** The operations of a span of a path for which a condition holds, and the columns that lists are sorted by. */
export function matching(db: Kysely<StoreTables>, path: Path, { filter, rest }: FoldedCondition, span: Span) {
  const source = path.kind === "label" ? "label" : "operations";
  const joined =
    path.kind === "label"
      ? (labelled(db, path).innerJoin("operations", "operations.operation_id", "label.operation_id") as unknown)
      : onPath(db, path);
  let query = within(joined as Operations, source, filter, span);
  for (const [key, value] of Object.entries(filter.labels)) {
    query = query.where((eb) => hasLabel(eb, key, (text) => sql`${text} = ${value}`));
  }
  if (filter.operationTypes.length > 0) {
    query = query.where(unindexed.operationType, "in", filter.operationTypes);
  }
  if (filter.statuses.length > 0) {
    query = query.where(unindexed.status, "in", filter.statuses);
  }
  if (filter.parentOperationId !== "") {
    query = query.where(unindexed.parentOperationId, "=", filter.parentOperationId);
  }
  if (rest) {
    query = query.where((eb) => conditionExpression(eb, rest));
  }
  return { query, ...orderOf(source) };
}

/** Up to `limit` positions of a span of a path, newest first, without a look at the operations themselves. */
export function positions(
  db: Kysely<StoreTables>,
  path: Path,
  filter: Pick<OperationFilter, "createdAfter" | "createdBefore">,
  span: Span,
  limit: number,
): Positions {
  const source = path.kind === "label" ? "label" : "operations";
  const rows = path.kind === "label" ? (labelled(db, path) as unknown as Operations) : onPath(db, path);
  const { createdAt, operationId } = orderOf(source);
  return within(rows, source, filter, span)
    .select([createdAt.as("created_at"), operationId.as("operation_id")])
    .orderBy(createdAt, "desc")
    .orderBy(operationId, "desc")
    .limit(limit);
}

/** Positions of some paths, at least one, as one list; each comes newest first and is as long as is needed. */
export function merged(db: Kysely<StoreTables>, lists: readonly Positions[]): Positions {
  const [only, ...others] = lists;
  if (only !== undefined && others.length === 0) {
    return only;
  }
  const all = lists
    .map((list) => db.selectFrom(list.as("one")).selectAll())
    .reduce((union, list) => union.unionAll(list))
    .as("position");
  const list = db
    .selectFrom(all)
    .selectAll()
    .orderBy("position.created_at", "desc")
    .orderBy("position.operation_id", "desc");
  return list as unknown as Positions;
}

function labelled(db: Kysely<StoreTables>, { key, value }: Extract<Path, { kind: "label" }>) {
  return db.selectFrom("operation_labels as label").where("label.key", "=", key).where("label.value", "=", value);
}

function onPath(db: Kysely<StoreTables>, path: Exclude<Path, { kind: "label" }>): Operations {
  const operations = db.selectFrom("operations");
  switch (path.kind) {
    case "all":
      return operations;
    case "parent":
      return operations.where("operations.parent_operation_id", "=", path.parentOperationId);
    case "type": {
      const ofType = operations.where("operations.operation_type", "=", path.operationType);
      return path.status === undefined ? ofType : ofType.where("operations.status", "=", path.status);
    }
    case "status":
      return operations.where("operations.status", "=", path.status);
  }
}

function orderOf(source: "label" | "operations") {
  return {
    createdAt: sql.ref<number>(`${source}.created_at`),
    operationId: sql.ref<string>(`${source}.operation_id`),
  };
}

/** With one bound at each end, the nearer one: of two, an index search may use the farther. */
function within(
  rows: Operations,
  source: "label" | "operations",
  { createdAfter, createdBefore }: Pick<OperationFilter, "createdAfter" | "createdBefore">,
  { after, last }: Span,
): Operations {
  const { createdAt, operationId } = orderOf(source);
  const beforeMs = createdBefore && firstMillisecondFrom(createdBefore);
  let query = rows;
  if (after && !(beforeMs !== undefined && beforeMs <= after.createdAtMs)) {
    query = query.where(sql<SqlBool>`(${createdAt}, ${operationId}) < (${after.createdAtMs}, ${after.operationId})`);
  } else if (beforeMs !== undefined) {
    query = query.where(createdAt, "<", beforeMs);
  }
  if (last) {
    // It is a position of the list, and so within the created range.
    query = query.where(sql<SqlBool>`(${createdAt}, ${operationId}) >= (${last.createdAtMs}, ${last.operationId})`);
  } else if (createdAfter) {
    query = query.where(createdAt, ">=", firstMillisecondFrom(createdAfter));
  }
  return query;
}

function firstMillisecondFrom({ seconds, nanos }: Timestamp): number {
  return Number(seconds) * 1000 + Math.ceil(nanos / 1_000_000);
}
