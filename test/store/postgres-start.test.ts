import { setTimeout } from "node:timers/promises";
import { Kysely } from "kysely";
import { Migrator } from "kysely/migration";
import { describe, expect, test } from "vitest";
import { storeMigrations } from "../../src/store/migrations.ts";
import { postgresPool } from "../../src/store/postgres-pool.ts";
import { locklessDialect, migrationLock, postgresTarget } from "../../src/store/postgres-schema.ts";
import { refuseUnfit } from "../../src/store/postgres-start.ts";
import { openPostgresStore, type PostgresStoreOptions } from "../../src/store/postgres-store.ts";
import { freePort } from "../support/free-port.ts";
import { describeOnPostgres, holdTransaction, runSql } from "./postgres-databases.ts";
import { filter, idsOf, operation } from "./store-fixture.ts";

const migrations = Object.keys(storeMigrations(postgresTarget("", null).traits));
const newest = migrations.at(-1);

/** Opens a store and closes it, or says why it cannot be opened. */
async function tryToOpen(url: string, options: PostgresStoreOptions = {}): Promise<string> {
  try {
    const { store } = await openPostgresStore(url, options);
    await store.close();
    return "opened";
  } catch (error) {
    return String(error);
  }
}

/** Makes the tables as the first longhaul had them. */
async function makeFirstSchema(url: string): Promise<void> {
  const pool = postgresPool(url, { size: 1, statementTimeoutMs: 5_000, preparedStatements: false });
  const db = new Kysely<unknown>({ dialect: locklessDialect(pool) });
  const [first] = Object.entries(storeMigrations(postgresTarget("", null).traits));
  const { error } = await new Migrator({
    db,
    provider: { getMigrations: async () => Object.fromEntries(first ? [first] : []) },
  }).migrateToLatest();
  await db.destroy();
  expect(error).toBeUndefined();
}

describeOnPostgres("opening a PostgreSQL store", (server) => {
  /** A new database, its name, and how messages call it. */
  async function newDatabase(): Promise<{ url: string; name: string; place: string }> {
    const url = await server().createDatabase();
    const { host, pathname } = new URL(url);
    return { url, name: pathname.slice(1), place: `the database ${host}${pathname}` };
  }

  let roles = 0;

  /** A new role, as which the URL's user is replaced. */
  async function asNewRole(url: string, rights = "login"): Promise<{ role: string; roleUrl: string }> {
    const role = `role_${++roles}`;
    await runSql(url, `create role ${role} ${rights} password 'secret'`);
    return { role, roleUrl: url.replace(/\/\/[^@]*@/, `//${role}:secret@`) };
  }

  describe("fails", () => {
    test("when nobody listens", async () => {
      const port = await freePort();
      const message = await tryToOpen(`postgres://longhaul:secret@127.0.0.1:${port}/operations`);
      expect(message).toBe(
        `Error: the database 127.0.0.1:${port}/operations cannot be reached: connect ECONNREFUSED 127.0.0.1:${port}; ` +
          "check that it runs and that the URL is right",
      );
    });

    test("when the host has no address", async () => {
      const message = await tryToOpen("postgres://longhaul:secret@nowhere.invalid/operations");
      expect(message).toMatch(/^Error: the database nowhere\.invalid:5432\/operations cannot be reached: .*nowhere/);
    });

    test("when the password is wrong, or missing", async () => {
      const { url, place } = await newDatabase();
      const wanted = `Error: ${place} does not accept the password of the role "longhaul"; check user and password in the URL`;
      for (const password of ["guess", ""]) {
        expect(await tryToOpen(url.replace(/:[^:@]*@/, `:${password}@`))).toBe(wanted);
      }
    });

    test("when the role may not log in", async () => {
      const { url, place } = await newDatabase();
      const { role, roleUrl } = await asNewRole(url, "nologin");
      expect(await tryToOpen(roleUrl)).toBe(
        `Error: ${place} does not let the role "${role}" in: role "${role}" is not permitted to log in; ` +
          "check the URL and the server's pg_hba.conf",
      );
    });

    test("when the database does not exist", async () => {
      const message = await tryToOpen(`${server().url}/nothing`);
      expect(message).toBe(
        `Error: the database 127.0.0.1:${server().port}/nothing does not exist; make it, as with: createdb nothing`,
      );
    });

    test("when the database has another encoding", async () => {
      const { url, name, place } = await newDatabase();
      await runSql(url, `create database ${name}_ascii encoding 'SQL_ASCII' template template0`);
      expect(await tryToOpen(`${url}_ascii`)).toBe(
        `Error: ${place}_ascii has the encoding SQL_ASCII; use a database whose encoding is UTF8`,
      );
    });

    test("when the search path leads nowhere", async () => {
      const { url, place } = await newDatabase();
      expect(await tryToOpen(`${url}?options=-csearch_path%3Dnowhere`)).toBe(
        `Error: ${place} has none of the schemas on the role's search_path; make one or set another search_path`,
      );
    });

    test("when a newer longhaul has made the tables", async () => {
      const { url, place } = await newDatabase();
      expect(await tryToOpen(url)).toBe("opened");
      await runSql(url, "insert into kysely_migration values ('9001_future', '2030-01-01T00:00:00.000Z')");
      expect(await tryToOpen(url)).toBe(
        `Error: ${place} has the schema "9001_future" of a newer longhaul, this one knows schemas up to "${newest}"; ` +
          "run the newer longhaul or use another database",
      );
    });

    test("when another program has the tables", async () => {
      const { url, place } = await newDatabase();
      await runSql(url, "create table operations (id int)");
      expect(await tryToOpen(url)).toBe(
        `Error: ${place} has tables of another program: relation "operations" already exists; ` +
          "use another database or schema",
      );
      await runSql(
        url,
        `drop table operations; create table kysely_migration (name text, timestamp text);
         insert into kysely_migration values ('001_users', '2030-01-01T00:00:00.000Z')`,
      );
      expect(await tryToOpen(url)).toBe(
        `Error: ${place} has the tables of another program, beginning with "001_users"; use another database`,
      );
    });

    test("when there are no tables and the role may not make them", async () => {
      const { url, place } = await newDatabase();
      const { role, roleUrl } = await asNewRole(url);
      expect(await tryToOpen(roleUrl)).toBe(
        `Error: ${place} has no tables yet, this longhaul needs the schema "${newest}", and the role "${role}" may ` +
          "not make it: permission denied for schema public; start longhaul once with a role that may, or grant this " +
          'one CREATE on the schema "public"',
      );
    });

    test("when the tables are older and the role may not change them, which leaves them as they are", async () => {
      const { url, place } = await newDatabase();
      const { role, roleUrl } = await asNewRole(url);
      await makeFirstSchema(url);
      await runSql(url, `grant all on all tables in schema public to ${role}`);
      expect(await tryToOpen(roleUrl)).toBe(
        `Error: ${place} has the schema "0001_operations", this longhaul needs the schema "${newest}", and the role ` +
          `"${role}" may not make it: must be owner of table operations; start longhaul once with the role that owns ` +
          "the tables",
      );
      expect(await runSql(url, "select name from kysely_migration")).toEqual([{ name: "0001_operations" }]);
    });

    test("when the role may not read the tables", async () => {
      const { url, place } = await newDatabase();
      const { role, roleUrl } = await asNewRole(url);
      expect(await tryToOpen(url)).toBe("opened");
      expect(await tryToOpen(roleUrl)).toBe(
        `Error: ${place} does not let the role "${role}" read longhaul's tables: permission denied for table ` +
          "kysely_migration; grant it their use",
      );
    });

    test("when the database is read-only and has no tables yet", async () => {
      const { url, place } = await newDatabase();
      expect(await tryToOpen(`${url}?options=-cdefault_transaction_read_only%3Don`)).toBe(
        `Error: ${place} has no tables yet, this longhaul needs the schema "${newest}", but is read-only; ` +
          "start longhaul once with the primary server",
      );
    });
  });

  describe("succeeds", () => {
    test("with a role that may use the tables, but not make them", async () => {
      const { url } = await newDatabase();
      const { role, roleUrl } = await asNewRole(url);
      expect(await tryToOpen(url)).toBe("opened");
      await runSql(url, `grant select, insert, update, delete on all tables in schema public to ${role}`);
      const { store } = await openPostgresStore(roleUrl);
      expect(await store.create(operation("op_a", { labels: { team: "ml" } }))).toEqual({ created: true });
      expect(await store.delete("op_a", 1n)).toBe(true);
      await store.close();
    });

    test("with older tables, which it changes; what was active then can be claimed", async () => {
      const { url } = await newDatabase();
      await makeFirstSchema(url);
      const columns =
        "operation_id, operation_type, status, created_at, revision, payload_hash, dispatched, info, request";
      await runSql(
        url,
        `insert into operations (${columns}) values
         ('op_active', 'training', 2, 0, 1, '', 1, '\\x', '\\x'), ('op_ended', 'training', 3, 0, 1, '', 1, '\\x', '\\x')`,
      );
      const { store } = await openPostgresStore(url);
      const claimed = await store.claim({ owner: "server-1", operationTypes: [], otherTypes: [] }, 10);
      expect(claimed).toHaveLength(1);
      expect(await store.get("op_active")).toMatchObject({ owner: "server-1" });
      expect(await store.get("op_ended")).toMatchObject({ owner: "" });
      await store.close();
    });

    test("in a schema of its own beside other programs", async () => {
      const { url } = await newDatabase();
      await runSql(
        url,
        `create table kysely_migration (name text); insert into kysely_migration values ('001_users');
         create table operations (id int); create schema one; create schema other`,
      );
      const inSchema = (schema: string) => `${url}?options=${encodeURIComponent(`-c search_path=${schema}`)}`;
      const [one, other] = [await openPostgresStore(inSchema("one")), await openPostgresStore(inSchema("other"))];
      await one.store.create(operation("op_a"));
      await other.store.create(operation("op_b"));
      expect(idsOf(await one.store.list(filter(), undefined, 10))).toEqual(["op_a"]);
      expect(idsOf(await other.store.list(filter(), undefined, 10))).toEqual(["op_b"]);
      await Promise.all([one.store.close(), other.store.close()]);
    });

    test("for servers that start at the same moment in an empty database", async () => {
      const { url } = await newDatabase();
      const outcomes = await Promise.all(Array.from({ length: 6 }, () => tryToOpen(url)));
      expect(outcomes).toEqual(outcomes.map(() => "opened"));
      expect(await runSql(url, "select name from kysely_migration order by name")).toEqual(
        migrations.map((name) => ({ name })),
      );
    });

    test("after a server that takes long to make the tables", async () => {
      const { url } = await newDatabase();
      await using other = await holdTransaction(url, `select pg_advisory_xact_lock(${migrationLock})`);
      let opened = false;
      const opening = tryToOpen(url, { statementTimeoutMs: 200 }).finally(() => {
        opened = true;
      });
      await setTimeout(800);
      expect(opened).toBe(false);
      await other.commit();
      expect(await opening).toBe("opened");
    });
  });
});

test("a PostgreSQL that is too old is refused, and other programs of its kind are not", () => {
  const place = { name: "the database db:5432/x", database: "x", role: "x" };
  const state = { encoding: "UTF8", role: "x", schema: "public", migrations: [] };
  const refuse = (version: string, versionNumber: number) => () =>
    refuseUnfit(place, { ...state, version, versionNumber });
  expect(refuse("PostgreSQL 14.11 on x86_64", 140_011)).toThrow(
    "the database db:5432/x is PostgreSQL 14.11; longhaul needs PostgreSQL 15 or later",
  );
  expect(refuse("PostgreSQL 15.0 on x86_64", 150_000)).not.toThrow();
  expect(refuse("CockroachDB CCL v24.1.0", 130_000)).not.toThrow();
});
