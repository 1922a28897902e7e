import type { Kysely } from "kysely";
import type { OperationFilter } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { OperationCount } from "../operations/operation-store.ts";
import { type Param, prepareQuery, type QueryRunner } from "./prepared-query.ts";
import type { StoreTables } from "./schema.ts";

type Counted = Pick<StoreTables["operations"], "operation_type" | "status">;

interface CountChange extends Counted {
  by: number;
}

/**
 * How many operations there are of each type and status, kept in a table, for databases with one writer at a time:
 * where several write side by side, all of them would wait for the same few rows.
 *
 * I1 A change of the counts is in the transaction of what it counts: noted there, and written before the commit.
 */
export class OperationCounts {
  readonly #db: Kysely<StoreTables>;
  /** By transaction; what one has noted that failed is never asked for. */
  readonly #changes = new WeakMap<QueryRunner, Map<string, CountChange>>();
  readonly #add;

  constructor(db: Kysely<StoreTables>) {
    this.#db = db;
    this.#add = prepareQuery((param: Param<CountChange>) =>
      db
        .insertInto("operation_counts")
        .values({
          operation_type: param(({ operation_type }) => operation_type),
          status: param(({ status }) => status),
          operations: param(({ by }) => by),
        })
        .onConflict((conflict) =>
          conflict.columns(["operation_type", "status"]).doUpdateSet((eb) => ({
            operations: eb("operation_counts.operations", "+", eb.ref("excluded.operations")),
          })),
        ),
    );
  }

  /** Notes that a transaction makes `by` more operations of a type and status. */
  note(trx: QueryRunner, { operation_type, status }: Counted, by: number): void {
    let changes = this.#changes.get(trx);
    if (changes === undefined) {
      changes = new Map();
      this.#changes.set(trx, changes);
    }
    const key = `${status} ${operation_type}`;
    const change = changes.get(key) ?? { operation_type, status, by: 0 };
    change.by += by;
    changes.set(key, change);
  }

  /** Writes what has been noted for a transaction; the last thing before its commit. */
  async write(trx: QueryRunner): Promise<void> {
    for (const change of this.#changes.get(trx)?.values() ?? []) {
      if (change.by !== 0) {
        await this.#add.run(trx, change);
      }
    }
  }

  /** The counts of the types and statuses of a filter; of its other conditions it takes no notice. */
  read({ operationTypes, statuses }: OperationFilter): Promise<OperationCount[]> {
    return this.#db
      .selectFrom("operation_counts")
      .select(["operation_type as operationType", "status", "operations as count"])
      .where("operations", ">", 0)
      .$if(operationTypes.length > 0, (query) => query.where("operation_type", "in", operationTypes))
      .$if(statuses.length > 0, (query) => query.where("status", "in", statuses))
      .execute();
  }
}
