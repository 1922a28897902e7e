import { type Kysely, sql } from "kysely";
import type { Instance, InstanceStore, Roll } from "../replicas/instance-store.ts";
import { retried } from "./retried-transactions.ts";
import type { StoreTables } from "./schema.ts";
import type { StoreCalls } from "./store-calls.ts";

/** The database's clock, in milliseconds since the epoch. It goes on within a statement. */
const clock = sql<number>`cast(floor(extract(epoch from clock_timestamp()) * 1000) as bigint)`;

/** A line of the roll; without an instance when nobody is entered. */
interface RollRow {
  readonly now_ms: number;
  readonly held: boolean;
  readonly instance_id: string | null;
  readonly url: string;
  readonly operation_types: string;
}

/**
 * The servers that share a PostgreSQL database, one row each. Every method is one statement, which ends in any case.
 */
export class KyselyInstances implements InstanceStore {
  readonly #db: Kysely<StoreTables>;
  readonly #calls: StoreCalls;

  /** The calls are those of the store in the same database. */
  constructor(db: Kysely<StoreTables>, calls: StoreCalls) {
    this.#db = db;
    this.#calls = calls;
  }

  async enter({ instanceId, url, operationTypes }: Instance, leaseMs: number): Promise<void> {
    const entered = {
      url,
      operation_types: JSON.stringify(operationTypes),
      lease_until: sql<number>`${clock} + ${leaseMs}`,
    };
    await this.#write(() =>
      this.#db
        .insertInto("instances")
        .values({ instance_id: instanceId, ...entered })
        // Repeated, because its first answer was lost.
        .onConflict((conflict) => conflict.column("instance_id").doUpdateSet(entered))
        .execute(),
    );
  }

  async renew(instanceId: string, leaseMs: number): Promise<Roll> {
    const rows = await this.#write(() => renewed(this.#db, instanceId, leaseMs));
    const { now_ms: nowMs = 0, held = false } = rows[0] ?? {};
    const instances = rows.flatMap(({ instance_id, url, operation_types }) =>
      instance_id === null ? [] : { instanceId: instance_id, url, operationTypes: JSON.parse(operation_types) },
    );
    // One that has just been struck off is still on the roll as it was when the statement began.
    return { held, nowMs, instances: instances.filter((instance) => held || instance.instanceId !== instanceId) };
  }

  async strikeOff(marginMs: number): Promise<string[]> {
    const rows = await this.#write(() =>
      this.#db
        .deleteFrom("instances")
        .where("lease_until", "<", sql<number>`${clock} - ${marginMs}`)
        .returning("instance_id")
        .execute(),
    );
    return rows.map(({ instance_id }) => instance_id);
  }

  async leave(instanceId: string): Promise<void> {
    await this.#write(() => this.#db.deleteFrom("instances").where("instance_id", "=", instanceId).execute());
  }

  #write<T>(call: () => Promise<T>): Promise<T> {
    return this.#calls.write(() => retried(call));
  }
}

/** Prolongs the lease of an instance that is still entered and reads the roll and the clock, on one way. */
async function renewed(db: Kysely<StoreTables>, instanceId: string, leaseMs: number): Promise<RollRow[]> {
  const { rows } = await sql<RollRow>`
    with renewed as (
      update instances set lease_until = ${clock} + ${leaseMs} where instance_id = ${instanceId} returning instance_id
    )
    select found.now_ms, found.held, instance_id, url, operation_types
    from (select ${clock} as now_ms, exists (select 1 from renewed) as held) as found
    left join instances on true`.execute(db);
  return rows;
}
