import type { Transaction } from "kysely";
import type { StoreTables } from "./schema.ts";

/** Statements that are to become durable together. They may be run again, after none of them had any effect. */
export type Write<T> = (trx: Transaction<StoreTables>) => Promise<T>;

/** Runs writes in transactions. `rows` is about how many rows the write touches. */
export type Transact = <T>(rows: number, write: Write<T>) => Promise<T>;
