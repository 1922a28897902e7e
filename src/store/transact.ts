import type { Transaction } from "kysely";
import type { QueryRunner } from "./prepared-query.ts";
import type { StoreTables } from "./schema.ts";

/** Statements that are to become durable together. They may be run again, after none of them had any effect. */
export type Write<T> = (trx: Transaction<StoreTables>) => Promise<T>;

/** Runs writes in transactions. `rows` is about how many rows the write touches. */
export type Transact = <T>(rows: number, write: Write<T>) => Promise<T>;

/** A single statement, which is a transaction by itself. It may be run again, after it had no effect. */
export type Statement<T> = (db: QueryRunner) => Promise<T>;
