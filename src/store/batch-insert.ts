import type { Compilable } from "kysely";
import { type Param, type PreparedQuery, prepareQuery, type QueryRunner } from "./prepared-query.ts";

/** Rows one statement inserts. Every batch is put together from these, so that few are prepared and few are run. */
const rowsPerStatement = [256, 128, 64, 32, 16, 8, 4, 2, 1];

/** Stands for one row while the statement is built; answers what stands for its columns. */
export type RowParam<Row> = <K extends keyof Row>(column: K) => Row[K];

/** Inserts any number of rows with a few prepared statements of many rows each. */
export interface BatchInsert<Row> {
  /** Inserts the rows in their order. A transaction is given as `db`. */
  run(db: QueryRunner, rows: readonly Row[]): Promise<void>;
}

interface Slice<Row> {
  readonly rows: readonly Row[];
  readonly from: number;
}

/** Prepares the inserts that `build` makes for as many rows as it is given. */
export function prepareBatchInsert<Row>(
  build: (rows: readonly RowParam<Row>[]) => Compilable<unknown>,
): BatchInsert<Row> {
  const statements = new Map<number, PreparedQuery<Slice<Row>, unknown>>();

  function statementFor(size: number): PreparedQuery<Slice<Row>, unknown> {
    let statement = statements.get(size);
    if (statement === undefined) {
      statement = prepareQuery((param: Param<Slice<Row>>) =>
        build(
          Array.from(
            { length: size },
            (_, index): RowParam<Row> =>
              (column) =>
                param(({ rows, from }) => (rows[from + index] as Row)[column]),
          ),
        ),
      );
      statements.set(size, statement);
    }
    return statement;
  }

  return {
    async run(db, rows) {
      for (let from = 0; from < rows.length; ) {
        const size = rowsPerStatement.find((candidate) => candidate <= rows.length - from) ?? 1;
        await statementFor(size).run(db, { rows, from });
        from += size;
      }
    },
  };
}
