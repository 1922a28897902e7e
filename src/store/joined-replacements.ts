import { setTimeout } from "node:timers/promises";
import { type Kysely, type SqlBool, sql } from "kysely";
import { joinedWrites } from "./joined-writes.ts";
import { type OperationUpdate, prepareOperationQueries } from "./operation-queries.ts";
import { type Param, type PreparedQuery, prepareQuery } from "./prepared-query.ts";
import { retried } from "./retried-transactions.ts";
import type { StoreTables } from "./schema.ts";
import type { ChangedRow } from "./stored-columns.ts";

/** What joining needs to know. */
export interface JoinedReplacementsOptions {
  /** Statements that may be under way at a time; what comes meanwhile joins the next one. */
  readonly atOnce: number;
  /** Whether an error would come each time, so that it need not be found out whose it is. */
  readonly failsAll: (error: unknown) => boolean;
}

/** Rows that replacing an operation writes, in tables and indexes. */
const rowsPerOperation = 8;
/** How long a statement for one counts as under way, in milliseconds: it may wait for a lock. */
const longestPlaceMs = 50;
/** The database stores a large snapshot in rows of this size. */
const bytesPerRow = 2_048;

/**
 * Replaces rows of operations in a database whose transactions run side by side; answers of each whether it was as
 * expected. Those that come together share a statement, and with it a commit and a way there and back.
 *
 * I1 A row that somebody has locked holds up no others: a statement for many leaves it out, and so waits for no other
 *    statement either.
 * I2 What a statement for many has left out, as locked, not as expected or because another change of the operation was
 *    in it, has a statement of its own; only that one says that a change is lost.
 */
export function joinedReplacements(
  db: Kysely<StoreTables>,
  { atOnce, failsAll }: JoinedReplacementsOptions,
): (change: OperationUpdate) => Promise<boolean> {
  const { update } = prepareOperationQueries(db);
  const updateUnlocked = prepareUpdateUnlocked(db);

  async function replaceOne(change: OperationUpdate): Promise<boolean> {
    const { numAffectedRows } = await retried(() => update.run(db, change));
    return numAffectedRows === 1n;
  }

  async function replaceMany(changes: readonly OperationUpdate[]): Promise<readonly (boolean | Promise<boolean>)[]> {
    const first = new Map(changes.toReversed().map((change) => [change.row.operation_id, change]));
    const { rows } = await retried(() => updateUnlocked.run(db, [...first.values()]));
    const replaced = new Set(rows.map(({ operation_id }) => first.get(operation_id)));
    return changes.map((change) => replaced.has(change) || replaceOne(change));
  }

  /** For one, its own statement costs half of that for many. */
  async function replaceAlone(change: OperationUpdate): Promise<readonly Promise<boolean>[]> {
    const answer = replaceOne(change);
    await Promise.race([answer, setTimeout(longestPlaceMs, undefined, { ref: false })]).catch(() => {});
    return [answer];
  }

  return joinedWrites<OperationUpdate, boolean>({
    runAll: (_rows, changes) => {
      const [only] = changes;
      return only && changes.length === 1 ? replaceAlone(only) : replaceMany(changes);
    },
    rowsOf: ({ row }) => rowsPerOperation + row.info.length / bytesPerRow,
    atOnce,
    failsAll,
  });
}

/** Writes what may change of the operations that are as expected and that nobody has locked. Returns their ids. */
function prepareUpdateUnlocked(
  db: Kysely<StoreTables>,
): PreparedQuery<readonly OperationUpdate[], { operation_id: string }> {
  return prepareQuery((param: Param<readonly OperationUpdate[]>) => {
    const column = (type: "text" | "bigint" | "integer" | "bytea", read: (update: OperationUpdate) => unknown) =>
      sql`cast(${param((updates) => updates.map(read))} as ${sql.raw(type)}[])`;
    const columns = sql.join([
      column("text", ({ row }) => row.operation_id),
      column("bigint", ({ expectedRevision }) => expectedRevision),
      column("integer", ({ expectedStatus }) => expectedStatus),
      column("text", ({ expectedOwner }) => expectedOwner),
      column("integer", ({ row }) => row.status),
      column("bigint", ({ row }) => row.completed_at),
      column("bigint", ({ row }) => row.expires_at),
      column("bigint", ({ row }) => row.revision),
      column("integer", ({ row }) => row.dispatched),
      column("text", ({ row }) => row.owner),
      column("integer", ({ row }) => row.changed_by_other),
      column("bytea", ({ row }) => row.info),
    ]);
    const changes = sql<ChangeColumns>`unnest(${columns})`.as<"changes">(
      sql`changes (
        operation_id, expected_revision, expected_status, expected_owner,
        status, completed_at, expires_at, revision, dispatched, owner, changed_by_other, info
      )`,
    );
    return db
      .with("unlocked", (cte) =>
        cte
          .selectFrom("operations")
          .innerJoin(changes, "changes.operation_id", "operations.operation_id")
          .selectAll("changes")
          .whereRef("operations.revision", "=", "changes.expected_revision")
          .whereRef("operations.status", "=", "changes.expected_status")
          .where(sql<SqlBool>`coalesce(operations.owner, '') = changes.expected_owner`)
          .forNoKeyUpdate("operations")
          .skipLocked(),
      )
      .updateTable("operations")
      .from("unlocked")
      .set(({ ref }) => ({
        status: ref("unlocked.status"),
        completed_at: ref("unlocked.completed_at"),
        expires_at: ref("unlocked.expires_at"),
        revision: ref("unlocked.revision"),
        dispatched: ref("unlocked.dispatched"),
        owner: ref("unlocked.owner"),
        changed_by_other: ref("unlocked.changed_by_other"),
        info: ref("unlocked.info"),
      }))
      .whereRef("operations.operation_id", "=", "unlocked.operation_id")
      .returning("operations.operation_id");
  });
}

/** The type is told only where it is counted, which this database does not. */
interface ChangeColumns extends Omit<ChangedRow, "operation_type"> {
  readonly expected_revision: bigint;
  readonly expected_status: ChangedRow["status"];
  readonly expected_owner: string;
}
