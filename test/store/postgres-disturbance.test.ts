import { types } from "pg";
import { expect, test } from "vitest";
import { openPostgresStore } from "../../src/store/postgres-store.ts";
import { describeOnPostgres, holdTransaction, openEmptyStore, openToldStore, runSql } from "./postgres-databases.ts";
import { changed, operation, replacement, storeTest } from "./store-fixture.ts";

const patient = { timeout: 15_000, interval: 50 };
const statementTimeoutMs = 500;
const endConnections = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'longhaul'";

describeOnPostgres("the PostgreSQL store when others use its server, too", (server) => {
  const open = () => openToldStore(server(), { statementTimeoutMs });
  const administer = (sql: string) => runSql(`${server().url}/postgres`, sql);

  storeTest(open, "makes connections again that somebody ends", async ({ store, told }) => {
    await Promise.all(Array.from({ length: 20 }, () => store.get("op_a")));
    await administer(endConnections);
    const get = async () => (await store.get("op_a").catch(() => "failed")) ?? "answered";
    await expect.poll(get, patient).toBe("answered");
    await Promise.all(Array.from({ length: 20 }, () => store.get("op_a")));
    expect(await store.create(operation("op_a"))).toEqual({ created: true });
    expect(told.filter((reason) => reason === undefined)).toHaveLength(told.length / 2);
  });

  storeTest(open, "fails calls for a row that somebody locks, and no others", async ({ url, store, told }) => {
    const [a, b] = [operation("op_a"), operation("op_b")];
    await store.create(a);
    await store.create(b);
    await using other = await holdTransaction(url, "select 1 from operations where operation_id = 'op_a' for update");
    await expect(store.replace([replacement(changed(a, 2n), 1n)])).rejects.toMatchObject({
      reason: "STORE_UNAVAILABLE",
      message: "the store could not be read or written",
      cause: { code: "55P03" },
    });
    expect(await store.replace([replacement(changed(b, 2n), 1n)])).toEqual(new Set(["op_b"]));
    await other.commit();
    expect(await store.replace([replacement(changed(a, 2n), 1n)])).toEqual(new Set(["op_a"]));
    expect(told).toEqual([]);
  });

  storeTest(open, "fails a statement that takes too long, and no others", async ({ url, told }) => {
    const longLock = new URL(url);
    longLock.searchParams.set("lock_timeout", "60000");
    const { store } = await openPostgresStore(longLock.href, { statementTimeoutMs });
    await store.create(operation("op_a"));
    await using other = await holdTransaction(url, "lock table operations");
    await expect(store.get("op_a")).rejects.toMatchObject({ cause: { code: "57014" } });
    expect(store.trouble).toBeUndefined();
    await other.commit();
    expect(await store.get("op_a")).toBeDefined();
    await store.close();
    expect(told).toEqual([]);
  });

  storeTest(open, "reads on when it may not write, and finds the next primary", async ({ url, store, told }) => {
    await store.create(operation("op_a"));
    const database = new URL(url).pathname.slice(1);
    await administer(`alter database ${database} set default_transaction_read_only = on`);
    await administer(endConnections);
    const create = () => store.create(operation("op_b")).catch(() => store.trouble);
    await expect.poll(create, patient).toBe("the database is read-only");
    expect(await store.get("op_a")).toEqual(operation("op_a"));
    // As after a failover, new connections are those of a primary, and older ones are not.
    await administer(`alter database ${database} reset default_transaction_read_only`);
    await expect.poll(() => store.trouble, patient).toBeUndefined();
    expect(await store.create(operation("op_b"))).toEqual({ created: true });
    expect(told.at(-1)).toBeUndefined();
  });

  test("has its own connections, named and no more than it may", async () => {
    const { url, store, dispose } = await openEmptyStore(server(), { poolSize: 3 });
    await Promise.all(Array.from({ length: 50 }, () => store.get("op_a")));
    const connections = `select application_name as name from pg_stat_activity
      where datname = current_database() and pid != pg_backend_pid()`;
    expect(await runSql(url, connections)).toEqual([{ name: "longhaul" }, { name: "longhaul" }, { name: "longhaul" }]);
    await dispose();
    expect(await runSql(url, connections)).toEqual([]);
    // How other users of pg in the process read columns is theirs to say.
    expect(types.getTypeParser(types.builtins.INT8)("1")).toBe("1");
    expect(await runSql(url, "select 1::int8 as one")).toEqual([{ one: "1" }]);
  });

  test("can do without prepared statements", async () => {
    const { store, dispose } = await openEmptyStore(server(), { preparedStatements: false });
    for (let revision = 1n; revision < 4n; revision++) {
      await store.create(operation("op_a"));
      await store.replace([replacement(changed(operation("op_a"), revision + 1n), revision)]);
    }
    expect(await store.get("op_a")).toEqual(changed(operation("op_a"), 4n));
    await dispose();
  });
});
