import type { ExpressionBuilder, Kysely, Transaction } from "kysely";
import type { Claim } from "../operations/operation-store.ts";
import type { StoreTables } from "./schema.ts";
import { type StoredRow, storedColumns } from "./stored-columns.ts";

/**
 * Gives up to `limit` operations whose owner is gone to another one, the oldest first. With `lockRows`, those that
 * another transaction is just writing are passed over.
 */
export async function claimOperations(
  trx: Transaction<StoreTables>,
  claim: Claim,
  limit: number,
  lockRows: boolean,
): Promise<StoredRow[]> {
  const gone = await ownersWithoutInstance(trx, claim.owner);
  if (gone.length === 0) {
    return [];
  }
  const rows = await trx
    // Not a plain subquery: a planner may run that several times, and lock others each time.
    .with("claimed", (db) =>
      db
        .selectFrom("operations")
        .select("operation_id")
        .where("owner", "in", gone)
        .where((eb) => isForClaimant(eb, claim))
        .orderBy("created_at")
        .orderBy("operation_id")
        .limit(limit)
        .$if(lockRows, (query) => query.forUpdate().skipLocked()),
    )
    .updateTable("operations")
    .set({ owner: claim.owner, changed_by_other: 0 })
    .where("operation_id", "in", ({ selectFrom }) => selectFrom("claimed").select("operation_id"))
    .returning([...storedColumns, "created_at", "operation_id"])
    .execute();
  return rows.sort((a, b) => a.created_at - b.created_at || (a.operation_id < b.operation_id ? -1 : 1));
}

/**
 * The owners, but for one, that are not entered as instances. They go from owner to owner along the index, because
 * those that are there have very many operations; and no owner is ever entered again, so nothing changes meanwhile.
 */
async function ownersWithoutInstance(trx: Transaction<StoreTables>, except: string): Promise<string[]> {
  const rows = await trx
    .withRecursive("owners(owner)", (db) =>
      db
        .selectFrom("operations")
        .where("operations.owner", "is not", null)
        .select(({ fn }) => fn.min("operations.owner").as("owner"))
        .unionAll(
          db
            .selectFrom("owners")
            .where("owners.owner", "is not", null)
            .select(({ selectFrom }) =>
              selectFrom("operations")
                .whereRef("operations.owner", ">", "owners.owner")
                .select(({ fn }) => fn.min("operations.owner").as("owner"))
                .as("owner"),
            ),
        ),
    )
    .selectFrom("owners")
    .select("owners.owner")
    .where("owners.owner", "is not", null)
    .where("owners.owner", "!=", except)
    .where("owners.owner", "not in", ({ selectFrom }) => selectFrom("instances").select("instance_id"))
    .$narrowType<{ owner: string }>()
    .execute();
  return rows.map(({ owner }) => owner);
}

function isForClaimant(eb: ExpressionBuilder<StoreTables, "operations">, { operationTypes, otherTypes }: Claim) {
  if (otherTypes.length === 0) {
    return eb.lit(true);
  }
  const servedByNobodyElse = eb("operation_type", "not in", otherTypes);
  return operationTypes.length === 0
    ? servedByNobodyElse
    : eb.or([servedByNobodyElse, eb("operation_type", "in", operationTypes)]);
}

/** Ends the ownership of an operation that has ended, if it is still that owner's. */
export async function releaseOperation(
  trx: Transaction<StoreTables>,
  operationId: string,
  owner: string,
): Promise<void> {
  await trx
    .updateTable("operations")
    .set({ owner: null, changed_by_other: 0 })
    .where("operation_id", "=", operationId)
    .where("owner", "=", owner)
    .where("completed_at", "is not", null)
    .execute();
}

/** The owner's operations that somebody else has changed since the owner wrote them. */
export async function changedByOthers(db: Kysely<StoreTables>, owner: string): Promise<string[]> {
  const rows = await db
    .selectFrom("operations")
    .select("operation_id")
    .where("owner", "=", owner)
    .where("changed_by_other", "=", 1)
    .execute();
  return rows.map(({ operation_id }) => operation_id);
}

/** Ids of the operations that are the owner's. */
export async function ownedBy(db: Kysely<StoreTables>, owner: string): Promise<string[]> {
  const rows = await db.selectFrom("operations").select("operation_id").where("owner", "=", owner).execute();
  return rows.map(({ operation_id }) => operation_id);
}
