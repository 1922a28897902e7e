import type { Kysely } from "kysely";
import type { FoldedCondition } from "../operations/fold-condition.ts";
import type { OperationCount, PageKey } from "../operations/operation-store.ts";
import { matching, merged, type Span, unindexed } from "./matching-operations.ts";
import type { OperationCounts } from "./operation-counts.ts";
import type { StoreTables } from "./schema.ts";
import { bestWalk, pageSpans, spans } from "./spans.ts";
import type { Path, Walk } from "./walk.ts";

/** What a list answers of an operation. */
interface ListedRow {
  readonly info: Uint8Array;
  readonly owner: string | null;
}

/** Up to `limit` operations that match, newest first, beginning after `after`. */
export async function listMatching(
  db: Kysely<StoreTables>,
  wanted: FoldedCondition,
  after: PageKey | undefined,
  limit: number,
): Promise<ListedRow[]> {
  const walk = await bestWalk(db, wanted, after);
  const found: ListedRow[] = [];
  for await (const span of pageSpans(db, walk, after)) {
    found.push(...(await pageOf(db, walk, span, limit - found.length).execute()));
    if (found.length === limit) {
      break;
    }
  }
  return found;
}

/**
 * How many operations match, by status and type. With `counts`, what is asked by type and status alone is there; all
 * else costs in proportion to what is counted, and what has to be tested for that.
 */
export async function countMatching(
  db: Kysely<StoreTables>,
  wanted: FoldedCondition,
  counts: OperationCounts | undefined,
): Promise<OperationCount[]> {
  const { filter, rest } = wanted;
  const { parentOperationId, labels, createdAfter, createdBefore } = filter;
  const isByTypeAndStatus =
    rest === undefined &&
    parentOperationId === "" &&
    Object.keys(labels).length === 0 &&
    createdAfter === undefined &&
    createdBefore === undefined;
  if (isByTypeAndStatus) {
    return counts ? counts.read(filter) : countGroups(db, filter);
  }
  const { paths, beside } = await bestWalk(db, wanted, undefined);
  const lines = new Map<string, OperationCount>();
  for (const path of paths) {
    for await (const span of spans(db, { paths: [path], beside }, undefined)) {
      for (const { status, operationType, count } of await countSpan(db, path, beside, span)) {
        const key = `${status} ${operationType}`;
        lines.set(key, { status, operationType, count: count + (lines.get(key)?.count ?? 0) });
      }
    }
  }
  return [...lines.values()];
}

/** By an index, in one statement. */
function countGroups(db: Kysely<StoreTables>, { operationTypes, statuses }: FoldedCondition["filter"]) {
  return db
    .selectFrom("operations")
    .select(({ fn }) => ["status", "operation_type as operationType", fn.countAll<number>().as("count")])
    .$if(operationTypes.length > 0, (query) => query.where("operation_type", "in", operationTypes))
    .$if(statuses.length > 0, (query) => query.where("status", "in", statuses))
    .groupBy(["status", "operation_type"])
    .execute();
}

/** Not along an index that has the groups together, which would go past all operations. */
function countSpan(db: Kysely<StoreTables>, path: Path, beside: FoldedCondition, span: Span) {
  const { status, operationType } = unindexed;
  return matching(db, path, beside, span)
    .query.select(({ fn }) => [
      status.as("status"),
      operationType.as("operationType"),
      fn.countAll<number>().as("count"),
    ])
    .groupBy([status, operationType])
    .execute();
}

/** A page of a span. Where several paths are put together, only the operations of the page are read. */
function pageOf(db: Kysely<StoreTables>, { paths, beside }: Walk, span: Span, limit: number) {
  const lists = paths.map((path) => {
    const { query, createdAt, operationId } = matching(db, path, beside, span);
    return query.orderBy(createdAt, "desc").orderBy(operationId, "desc").limit(limit);
  });
  const [only, ...others] = lists;
  if (only !== undefined && others.length === 0) {
    return only.select(["operations.info", "operations.owner"]);
  }
  const positions = lists.map((list) => list.select(["operations.created_at", "operations.operation_id"]));
  return db
    .selectFrom(merged(db, positions).limit(limit).as("page"))
    .innerJoin("operations", "operations.operation_id", "page.operation_id")
    .select(["operations.info", "operations.owner"])
    .orderBy("page.created_at", "desc")
    .orderBy("page.operation_id", "desc");
}
