import type { Compilable } from "kysely";
import { type Param, type PreparedQuery, prepareQuery, type QueryRunner } from "./prepared-query.ts";

/** Rows one statement inserts. Every batch is put together from these, so that few are prepared and few are run. */
const rowsPerStatement = [256, 128, 64, 32, 16, 8, 4, 2, 1];

/** Stands for one row while the statement is built; answers what stands for its columns. */
export type RowParam<Row> = <K extends keyof Row>(column: K) => Row[K];

/** Inserts any number of rows with a few prepared statements of many rows each. */
export interface BatchInsert<Row, Returned> {
  /** Inserts the rows in their order, and answers what the statements return. A transaction is given as `db`. */
  run(db: QueryRunner, rows: readonly Row[]): Promise<Returned[]>;
}

interface Slice<Row> {
  readonly rows: readonly Row[];
  readonly from: number;
}

/** Prepares the inserts that `build` makes for as many rows as it is given. */
export function prepareBatchInsert<Row, Returned = unknown>(
  build: (rows: readonly RowParam<Row>[]) => Compilable<Returned>,
): BatchInsert<Row, Returned> {
  const statements = new Map<number, PreparedQuery<Slice<Row>, Returned>>();

  function statementFor(size: number): PreparedQuery<Slice<Row>, Returned> {
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
      const returned: Returned[] = [];
      for (let from = 0; from < rows.length; ) {
        const size = rowsPerStatement.find((candidate) => candidate <= rows.length - from) ?? 1;
        const result = await statementFor(size).run(db, { rows, from });
        returned.push(...result.rows);
        from += size;
      }
      return returned;
    },
  };
}
