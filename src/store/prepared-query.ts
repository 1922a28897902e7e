import { hash } from "node:crypto";
import type { Compilable, CompiledQuery, Kysely, QueryResult } from "kysely";

/** A database or a transaction; the query, not this, says which tables there are. */
// biome-ignore lint/suspicious/noExplicitAny: Kysely has no type for any tables.
export type QueryRunner = Pick<Kysely<any>, "executeQuery">;

/** A query that is built and compiled once, and run with other values each time. */
export interface PreparedQuery<Values, Row> {
  run(db: QueryRunner, values: Values): Promise<QueryResult<Row>>;
}

/** Stands for a value while the query is built, and says where the value comes from when it is run. */
export type Param<Values> = <T>(read: (values: Values) => T) => T;

/** The statements' names, by the parameters they are run with: drivers are given nothing else of a query but its text. */
const names = new WeakMap<readonly unknown[], string>();

/** A short name of the prepared query whose parameters these are; undefined for those of other queries. */
export function preparedNameOf(parameters: readonly unknown[]): string | undefined {
  return names.get(parameters);
}

class Parameter<Values> {
  readonly read: (values: Values) => unknown;

  constructor(read: (values: Values) => unknown) {
    this.read = read;
  }
}

/**
 * Compiles a query whose values are parameters: `(param: Param<{ id: string }>) => db.selectFrom(…).where("id", "=",
 * param(({ id }) => id))`. Building the query each time costs several times as much as running it on SQLite.
 */
export function prepareQuery<Values, Row>(
  build: (param: Param<Values>) => Compilable<Row>,
): PreparedQuery<Values, Row> {
  const param = <T>(read: (values: Values) => T) => new Parameter(read) as T;
  const compiled: CompiledQuery<Row> = build(param).compile();
  const name = hash("sha1", compiled.sql, "base64url");
  return {
    run(db, values) {
      const parameters = compiled.parameters.map((value) => (value instanceof Parameter ? value.read(values) : value));
      names.set(parameters, name);
      return db.executeQuery({ ...compiled, parameters });
    },
  };
}
