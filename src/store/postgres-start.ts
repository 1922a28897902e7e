import { postgresCode, postgresCodeOf } from "./postgres-error.ts";
import type { PostgresState } from "./postgres-schema.ts";

/** A database, for messages. */
export interface PostgresPlace {
  /** "the database host:port/name" */
  readonly name: string;
  readonly database: string;
  readonly role: string;
}

/** The oldest PostgreSQL the store is tested with. */
const oldestVersion = 15;

/** Throws an Error when a database cannot hold a store. */
export function refuseUnfit(
  { name }: PostgresPlace,
  { version, versionNumber, encoding, schema }: PostgresState,
): void {
  const [program, number] = version.split(" ");
  if (program === "PostgreSQL" && versionNumber < oldestVersion * 10_000) {
    throw new Error(`${name} is PostgreSQL ${number}; longhaul needs PostgreSQL ${oldestVersion} or later`);
  }
  if (encoding !== "UTF8") {
    throw new Error(`${name} has the encoding ${encoding}; use a database whose encoding is UTF8`);
  }
  if (schema === null) {
    throw new Error(`${name} has none of the schemas on the role's search_path; make one or set another search_path`);
  }
}

/** Says why a database could not be opened, and what to do. */
export function explainOpening({ name, database, role }: PostgresPlace, cause: unknown): Error {
  const message = messageOf(cause);
  const explained = (text: string) => new Error(`${name} ${text}`, { cause });
  const code = postgresCodeOf(cause) ?? "";
  if (code === postgresCode.noSuchDatabase) {
    return explained(`does not exist; make it, as with: createdb ${database}`);
  }
  if (code === postgresCode.wrongPassword || /^SASL\b.*password/.test(message)) {
    return explained(`does not accept the password of the role "${role}"; check user and password in the URL`);
  }
  if (code.startsWith("28")) {
    return explained(`does not let the role "${role}" in: ${message}; check the URL and the server's pg_hba.conf`);
  }
  if (code === postgresCode.notAllowed) {
    return explained(`does not let the role "${role}" read longhaul's tables: ${message}; grant it their use`);
  }
  if (code === postgresCode.protocolViolation) {
    return explained(`is behind a pooler that refuses this: ${message}; let it ignore that start-up parameter`);
  }
  return explained(`cannot be reached: ${message}; check that it runs and that the URL is right`);
}

/** Says why the tables could not be made or changed, and what to do. Our own errors are clear as they are. */
export function explainMigration(
  { name, role }: PostgresPlace,
  { schema, migrations }: PostgresState,
  missing: readonly string[],
  cause: unknown,
): unknown {
  const code = postgresCodeOf(cause);
  const has = migrations.length === 0 ? "no tables yet" : `the schema "${migrations.at(-1)}"`;
  const state = `${name} has ${has}, this longhaul needs the schema "${missing.at(-1)}"`;
  switch (code) {
    case undefined:
      return cause;
    case postgresCode.notAllowed: {
      const help =
        migrations.length === 0
          ? `start longhaul once with a role that may, or grant this one CREATE on the schema "${schema}"`
          : "start longhaul once with the role that owns the tables";
      return new Error(`${state}, and the role "${role}" may not make it: ${messageOf(cause)}; ${help}`, { cause });
    }
    case postgresCode.readOnly:
      return new Error(`${state}, but is read-only; start longhaul once with the primary server`, { cause });
    case postgresCode.tableExists:
      return new Error(`${name} has tables of another program: ${messageOf(cause)}; use another database or schema`, {
        cause,
      });
    default:
      return new Error(`${state}, which could not be made: ${messageOf(cause)}`, { cause });
  }
}

/** What an error says. One that stands for several, as when a name has several addresses, says nothing itself. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError) {
    return error.errors.map(messageOf).join(", ");
  }
  return error instanceof Error ? error.message : String(error);
}
