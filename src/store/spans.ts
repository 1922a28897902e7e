import { setImmediate } from "node:timers/promises";
import type { Kysely } from "kysely";
import type { FoldedCondition } from "../operations/fold-condition.ts";
import type { PageKey } from "../operations/operation-store.ts";
import { merged, positions, type Span } from "./matching-operations.ts";
import type { StoreTables } from "./schema.ts";
import { isFoundById, testsOf, type Walk, walksOf } from "./walk.ts";

/** Steps of row by row work that one statement makes at the most: SQLite makes about 500 in a millisecond. */
const stepsPerStatement = 4_000;
/** Steps that it costs to find the operation of an index entry. */
const stepsPerLookup = 3;
/** Operations that are looked at first where many will be: a page of common ones is found there. */
const firstRows = 200;
/** How far the ways to find operations are compared. */
const compared = 200;

/**
 * The list along a walk in spans short enough for one statement each: SQLite answers while everything else waits, and
 * other databases end statements that take long. `begin` is the length of the first one, if that is to be shorter.
 */
export async function* spans(
  db: Kysely<StoreTables>,
  walk: Walk,
  start: PageKey | undefined,
  begin = Number.POSITIVE_INFINITY,
): AsyncGenerator<Span> {
  if (isFoundById(walk)) {
    yield { after: start, last: undefined };
    return;
  }
  const looksUp = walk.paths.some(({ kind }) => kind === "label" || kind === "parent");
  const steps = 1 + testsOf(walk) + (looksUp ? stepsPerLookup : 0);
  // Where a span ends is not known before each path has been followed that far.
  const mostRows = Math.ceil(stepsPerStatement / (steps * walk.paths.length));
  let after = start;
  for (let rows = Math.min(begin, mostRows); ; rows = Math.min(rows * 4, mostRows)) {
    const last = await positionAt(db, walk, after, rows);
    yield { after, last };
    if (last === undefined) {
      return;
    }
    after = last;
    await setImmediate();
  }
}

/** The spans for a page, which ends as soon as enough is found: short ones first, or all in one where all match. */
export function pageSpans(
  db: Kysely<StoreTables>,
  walk: Walk,
  start: PageKey | undefined,
): AsyncIterable<Span> | Span[] {
  return testsOf(walk) === 0 ? [{ after: start, last: undefined }] : spans(db, walk, start, firstRows);
}

/**
 * The walk that goes past the fewest operations: of what each begins with, the same number goes back furthest in time.
 * It asks the indexes, because planners know nothing of single values.
 */
export async function bestWalk(
  db: Kysely<StoreTables>,
  wanted: FoldedCondition,
  start: PageKey | undefined,
): Promise<Walk> {
  const walks = walksOf(wanted);
  let best = walks[0] as Walk;
  let reached = Number.POSITIVE_INFINITY;
  for (const walk of walks.length > 1 ? walks : []) {
    const position = await positionAt(db, walk, start, compared);
    if (position === undefined) {
      return walk;
    }
    if (position.createdAtMs < reached) {
      reached = position.createdAtMs;
      best = walk;
    }
  }
  return best;
}

/** The position that is the `rows`-th of a walk after another one; undefined when the walk has no more so many. */
async function positionAt(
  db: Kysely<StoreTables>,
  { paths, beside: { filter } }: Walk,
  after: PageKey | undefined,
  rows: number,
): Promise<PageKey | undefined> {
  const position = await merged(
    db,
    paths.map((path) => positions(db, path, filter, { after, last: undefined }, rows)),
  )
    .offset(rows - 1)
    .limit(1)
    .executeTakeFirst();
  return position && { createdAtMs: position.created_at, operationId: position.operation_id };
}
