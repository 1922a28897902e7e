import { createServer } from "node:net";
import { Client, DatabaseError } from "pg";
import { describe, expect, test } from "vitest";
import { isConflict, leavesConnectionUsable, postgresTroubleOf } from "../../src/store/postgres-error.ts";

function databaseError(code: string): DatabaseError {
  const error = new DatabaseError('role "longhaul" at db-1.internal', 0, "error");
  error.code = code;
  return error;
}

function systemError(code: string): Error {
  return Object.assign(new Error(`connect ${code} 10.0.0.7:5432`), { code });
}

const away = { readable: false };
const atRisk = { readable: true };

const troubles: [name: string, error: unknown, reason: string, trouble: { readable: boolean }][] = [
  ["refused", systemError("ECONNREFUSED"), "the database refuses connections", away],
  [
    "refused at every address",
    Object.assign(new AggregateError([systemError("ECONNREFUSED")]), { code: "ECONNREFUSED" }),
    "the database refuses connections",
    away,
  ],
  ["reset", systemError("ECONNRESET"), "the connection to the database was lost", away],
  ["broken pipe", systemError("EPIPE"), "the connection to the database was lost", away],
  ["no answer to packets", systemError("ETIMEDOUT"), "the database cannot be reached", away],
  ["no route", systemError("EHOSTUNREACH"), "the database cannot be reached", away],
  ["no such name", systemError("ENOTFOUND"), "the database's host name is not known", away],
  ["no name server", systemError("EAI_AGAIN"), "the database's host name cannot be looked up", away],
  [
    "ended by the other side",
    new Error("Connection terminated unexpectedly"),
    "the connection to the database was lost",
    away,
  ],
  [
    "no connection in time",
    new Error("Connection terminated due to connection timeout"),
    "the database does not answer in time",
    away,
  ],
  [
    "no free connection in time",
    new Error("timeout exceeded when trying to connect"),
    "the database does not answer in time",
    away,
  ],
  ["no answer in time", new Error("Query read timeout"), "the database does not answer in time", away],
  [
    "used after its end",
    new Error("Client has encountered a connection error and is not queryable"),
    "the connection to the database was lost",
    away,
  ],
  [
    "no password",
    new Error("SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string"),
    "the database does not let this server in",
    away,
  ],
  [
    "expired certificate",
    Object.assign(new Error("certificate has expired"), { code: "CERT_HAS_EXPIRED" }),
    "the database's certificate or TLS is not as it should be",
    away,
  ],
  ["connection failure", databaseError("08006"), "the connection to the database was lost", away],
  ["read-only", databaseError("25006"), "the database is read-only", atRisk],
  ["wrong password", databaseError("28P01"), "the database does not let this server in", away],
  ["no entry in pg_hba.conf", databaseError("28000"), "the database does not let this server in", away],
  ["no such database", databaseError("3D000"), "the database does not exist", away],
  ["full disk", databaseError("53100"), "the database's disk is full", atRisk],
  ["out of memory", databaseError("53200"), "the database is out of memory", atRisk],
  ["too many connections", databaseError("53300"), "the database has no free connections", atRisk],
  ["another limit", databaseError("53400"), "the database has run out of a resource", atRisk],
  ["shutting down", databaseError("57P01"), "the database is shutting down", away],
  ["crashed", databaseError("57P02"), "the database has crashed", away],
  ["starting up", databaseError("57P03"), "the database is starting up or shutting down", away],
  ["input/output error", databaseError("58030"), "the database reports a system error", atRisk],
];

describe("an error of PostgreSQL, or on the way to it, means trouble", () => {
  test.each(troubles)("%s", (_, error, reason, { readable }) => {
    expect(postgresTroubleOf(error)).toEqual({ reason, readable });
    expect(reason).not.toMatch(/longhaul|db-1|10\.0\.0\.7/);
  });

  test("when the other side is no PostgreSQL", async () => {
    const server = createServer((socket) => socket.end("220 mail.example\r\n")).listen(0, "127.0.0.1");
    const address = await new Promise((resolve) => server.once("listening", () => resolve(server.address())));
    const client = new Client({ host: "127.0.0.1", port: (address as { port: number }).port });
    client.on("error", () => {});
    const error = await client.connect().then(
      () => undefined,
      (error: unknown) => error,
    );
    server.close();
    expect(postgresTroubleOf(error)).toMatchObject({ readable: false });
  });
});

describe("an error means nothing for other calls", () => {
  test.each([
    ["statement timeout", databaseError("57014")],
    ["lock timeout", databaseError("55P03")],
    ["serialization failure", databaseError("40001")],
    ["deadlock", databaseError("40P01")],
    ["unique violation", databaseError("23505")],
    ["no such table", databaseError("42P01")],
    ["damaged row", databaseError("XX001")],
    ["an error of this program", new RangeError("index out of range: 9 + 10 > 12")],
    ["no error", undefined],
  ])("%s", (_, error) => {
    expect(postgresTroubleOf(error)).toBeUndefined();
  });
});

test("a connection is used on after answers in good order only", () => {
  for (const code of ["23505", "40001", "40P01", "57014", "55P03", "53100", "42P01", "25P02"]) {
    expect(leavesConnectionUsable(databaseError(code)), code).toBe(true);
  }
  for (const code of ["08006", "57P01", "57P02", "57P03", "25P03", "25006"]) {
    expect(leavesConnectionUsable(databaseError(code)), code).toBe(false);
  }
  expect(leavesConnectionUsable(new Error("Query read timeout"))).toBe(false);
  expect(leavesConnectionUsable(systemError("ECONNRESET"))).toBe(false);
});

test("conflicts are serialization failures and deadlocks", () => {
  expect(["40001", "40P01", "40003", "23505", "57014"].filter((code) => isConflict(databaseError(code)))).toEqual([
    "40001",
    "40P01",
  ]);
  expect(isConflict(new Error("40001"))).toBe(false);
});
