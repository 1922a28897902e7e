import { DatabaseError } from "pg";
import type { Trouble } from "./store-calls.ts";

/** SQLSTATE codes that mean something to us, see https://www.postgresql.org/docs/current/errcodes-appendix.html. */
export const postgresCode = {
  protocolViolation: "08P01",
  idleInTransaction: "25P03",
  readOnly: "25006",
  noSuchStatement: "26000",
  wrongPassword: "28P01",
  noSuchDatabase: "3D000",
  serializationFailure: "40001",
  deadlock: "40P01",
  notAllowed: "42501",
  statementExists: "42P05",
  tableExists: "42P07",
  diskFull: "53100",
  outOfMemory: "53200",
  tooManyConnections: "53300",
  cannotConnectNow: "57P03",
} as const;

/** The SQLSTATE of an error the database has answered; undefined for errors on the way to it. */
export function postgresCodeOf(error: unknown): string | undefined {
  return error instanceof DatabaseError ? error.code : undefined;
}

/** What is wrong with the connection, by the codes of Node.js. */
const connectionTroubles: ReadonlyMap<string, string> = new Map([
  ["ECONNREFUSED", "the database refuses connections"],
  ["ECONNRESET", "the connection to the database was lost"],
  ["EPIPE", "the connection to the database was lost"],
  ["ENOTFOUND", "the database's host name is not known"],
  ["EAI_AGAIN", "the database's host name cannot be looked up"],
  ["ETIMEDOUT", "the database cannot be reached"],
  ["EHOSTUNREACH", "the database cannot be reached"],
  ["ENETUNREACH", "the database cannot be reached"],
  ["EHOSTDOWN", "the database cannot be reached"],
  ["ENETDOWN", "the database cannot be reached"],
  ["ECONNABORTED", "the connection to the database was lost"],
  ["EADDRNOTAVAIL", "the database cannot be reached"],
  ["EMFILE", "this server has too many files open"],
  ["ENOENT", "the database's socket is not there"],
  ["EACCES", "the database's socket may not be used"],
]);

/** The same, by the messages of pg, whose errors have no codes. The first that matches counts. */
const connectionMessages: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/timeout/i, "the database does not answer in time"],
  [
    /^Connection terminated|not queryable|connection error|Cannot use a pool/i,
    "the connection to the database was lost",
  ],
  [/^SASL|password/i, "the database does not let this server in"],
  [/\b(SSL|TLS|certificate)\b/i, "the database's certificate or TLS is not as it should be"],
];

/** What is wrong with the database, by its codes or their classes. */
const databaseTroubles: ReadonlyMap<string, Trouble> = new Map([
  ["08", { reason: "the connection to the database was lost", readable: false }],
  [postgresCode.readOnly, { reason: "the database is read-only", readable: true }],
  ["28", { reason: "the database does not let this server in", readable: false }],
  [postgresCode.noSuchDatabase, { reason: "the database does not exist", readable: false }],
  ["53", { reason: "the database has run out of a resource", readable: true }],
  [postgresCode.diskFull, { reason: "the database's disk is full", readable: true }],
  [postgresCode.outOfMemory, { reason: "the database is out of memory", readable: true }],
  [postgresCode.tooManyConnections, { reason: "the database has no free connections", readable: true }],
  ["57P01", { reason: "the database is shutting down", readable: false }],
  ["57P02", { reason: "the database has crashed", readable: false }],
  [postgresCode.cannotConnectNow, { reason: "the database is starting up or shutting down", readable: false }],
  ["58", { reason: "the database reports a system error", readable: true }],
]);

/**
 * Whether an error means that the database cannot be used at all, rather than that one call has failed. Reasons name no
 * hosts and no roles: callers read them.
 */
export function postgresTroubleOf(error: unknown): Trouble | undefined {
  const code = postgresCodeOf(error);
  if (code !== undefined) {
    return databaseTroubles.get(code) ?? databaseTroubles.get(code.slice(0, 2));
  }
  const reason = connectionReasonOf(error);
  return reason === undefined ? undefined : { reason, readable: false };
}

function connectionReasonOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) {
    return undefined;
  }
  const code = "code" in error ? String(error.code) : "";
  return (
    connectionTroubles.get(code) ??
    connectionMessages.find(([pattern]) => pattern.test(`${error.message} ${code}`))?.[1]
  );
}

/** Classes and codes after which a connection is of no more use. */
const endings = ["08", "57P", postgresCode.idleInTransaction, postgresCode.readOnly];

/**
 * Whether a connection may be used for other calls after an error: one that the database has answered in good order.
 * Not after read-only, though: the server has become a standby, and a new connection may lead to the primary.
 */
export function leavesConnectionUsable(error: unknown): boolean {
  const code = postgresCodeOf(error);
  return code !== undefined && !endings.some((ending) => code.startsWith(ending));
}

/**
 * Whether a prepared statement was not as it had been left in its connection: there is a pooler in between that gives
 * each transaction another one.
 */
export function isMisplacedStatement(error: unknown): boolean {
  const code = postgresCodeOf(error);
  return code === postgresCode.noSuchStatement || code === postgresCode.statementExists;
}

/** Whether a transaction failed only because another one was under way, so that it may succeed the next time. */
export function isConflict(error: unknown): boolean {
  const code = postgresCodeOf(error);
  return code === postgresCode.serializationFailure || code === postgresCode.deadlock;
}

/** Classes of errors that a call meets each time: data that does not fit, broken constraints, wrong statements. */
const faults = ["22", "23", "42"];

/** Whether an error is ours, in reading what the database has or in asking for it, so that it will come each time. */
export function isPostgresFault(error: unknown): boolean {
  const code = postgresCodeOf(error);
  return code === undefined
    ? postgresTroubleOf(error) === undefined
    : faults.includes(code.slice(0, 2)) && !isMisplacedStatement(error);
}
