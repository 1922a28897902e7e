import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type QueryResult,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from "kysely";
import { LRUCache } from "lru-cache";

/** Statements kept prepared. Those of hot paths are far fewer; lists of ids and filters make the others. */
const preparedStatements = 200;

/**
 * Kysely over one connection of the built-in SQLite. Transactions begin with the write lock (BEGIN IMMEDIATE), so that
 * they cannot fail in the middle because another process writes. Destroying the Kysely instance closes the database.
 */
export function nodeSqliteDialect(database: DatabaseSync): Dialect {
  return {
    createAdapter: () => adapter,
    createDriver: () => createDriver(database),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

const adapter: DialectAdapter = {
  supportsCreateIfNotExists: true,
  // Makes Kysely run one query, or one transaction, at a time.
  supportsMultipleConnections: false,
  supportsTransactionalDdl: true,
  supportsReturning: true,
  // The one connection is lock enough.
  acquireMigrationLock: async () => {},
  releaseMigrationLock: async () => {},
};

function createDriver(database: DatabaseSync): Driver {
  const connection = new NodeSqliteConnection(database);
  return {
    init: async () => {},
    acquireConnection: async () => connection,
    releaseConnection: async () => {},
    beginTransaction: async () => connection.run("begin immediate"),
    commitTransaction: async () => connection.run("commit"),
    rollbackTransaction: async () => {
      // SQLite has rolled back by itself after some errors, such as a full disk.
      if (database.isTransaction) {
        connection.run("rollback");
      }
    },
    destroy: async () => database.close(),
  };
}

interface PreparedStatement {
  readonly statement: StatementSync;
  readonly returnsRows: boolean;
}

class NodeSqliteConnection implements DatabaseConnection {
  readonly #database: DatabaseSync;
  readonly #statements = new LRUCache<string, PreparedStatement>({ max: preparedStatements });

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    const { statement, returnsRows } = this.#prepare(sql);
    const values = parameters as readonly SQLInputValue[];
    if (returnsRows) {
      return { rows: statement.all(...values) as Row[] };
    }
    return { rows: [], numAffectedRows: BigInt(statement.run(...values).changes) };
  }

  // biome-ignore lint/correctness/useYield: SQLite answers whole results; nothing here streams.
  async *streamQuery(): AsyncIterableIterator<never> {
    throw new Error("the SQLite connection does not stream");
  }

  run(sql: string): void {
    this.#prepare(sql).statement.run();
  }

  #prepare(sql: string): PreparedStatement {
    const known = this.#statements.get(sql);
    if (known) {
      return known;
    }
    const statement = this.#database.prepare(sql);
    const prepared = { statement, returnsRows: statement.columns().length > 0 };
    this.#statements.set(sql, prepared);
    return prepared;
  }
}
