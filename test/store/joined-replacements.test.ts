import { setTimeout } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { Kysely } from "kysely";
import { expect, onTestFinished, test } from "vitest";
import { joinedReplacements } from "../../src/store/joined-replacements.ts";
import { changedRow } from "../../src/store/operation-rows.ts";
import { postgresPool } from "../../src/store/postgres-pool.ts";
import { locklessDialect } from "../../src/store/postgres-schema.ts";
import { openPostgresStore } from "../../src/store/postgres-store.ts";
import type { StoreTables } from "../../src/store/schema.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { countWaiting, describeOnPostgres, holdTransaction, openEmptyStore, runSql } from "./postgres-databases.ts";
import { changed, operation, replacement, storeTest } from "./store-fixture.ts";

const inDoubt = { name: "CallError", reason: "STORE_UNAVAILABLE", details: { mayBeDone: true } };
const stored = Array.from({ length: 64 }, (_, index) => operation(`op_${index}`));
const ids = stored.map(({ info }) => info.operationId);
const lockAll = "select 1 from operations for update";
const lockFirst = "select 1 from operations where operation_id = 'op_0' for update";

const statementTimeoutMs = 5_000;

/** The change of each operation from revision 1 to 2. */
const changes = stored.map((first) => replacement(changed(first, 2n), 1n));

describeOnPostgres("replacements that come together", (server) => {
  const open = () => openEmptyStore(server(), { statementTimeoutMs });

  test("share a statement", async () => {
    const { url, store, dispose } = await open();
    onTestFinished(dispose);
    await Promise.all(stored.map((first) => store.create(first)));
    const statements: string[] = [];
    const db = new Kysely<StoreTables>({
      dialect: locklessDialect(postgresPool(url, { size: 5, statementTimeoutMs, preparedStatements: true })),
      log: ({ query }) => void statements.push(query.sql),
    });
    onTestFinished(() => db.destroy());
    const replace = joinedReplacements(db, { atOnce: 1, failsAll: () => false });
    const replaced = stored.map((first) =>
      replace({ ...replacement(first, 1n), row: changedRow(changed(first, 2n), false) }),
    );
    expect(await Promise.all(replaced)).toEqual(stored.map(() => true));
    expect(statements).toHaveLength(1);
  });

  storeTest(open, "do not wait for single ones that wait for locks", async ({ store, url }) => {
    await Promise.all(stored.map((first) => store.create(first)));
    await using other = await holdTransaction(url, lockAll);
    const held: Promise<unknown>[] = [];
    for (const change of changes.slice(0, 5)) {
      held.push(store.replace([change]));
      await expect.poll(() => countWaiting(url)).toBe(held.length);
    }
    const last = operation("op_last");
    await store.create(last);
    expect(await store.replace([replacement(changed(last, 2n), 1n)])).toEqual(new Set(["op_last"]));
    expect(await countWaiting(url)).toBe(5);
    await other.commit();
    expect(await Promise.all(held)).toEqual(ids.slice(0, 5).map((id) => new Set([id])));
  });

  storeTest(
    open,
    "are answered without the one whose row is locked, which learns what became of it",
    async (opened) => {
      const { store, url } = opened;
      await Promise.all(stored.map((first) => store.create(first)));
      await using other = await holdTransaction(
        url,
        `${lockFirst}; update operations set owner = 'server-2' where operation_id = 'op_0'`,
      );
      const [held, ...free] = changes.map((change) => store.replace([change]));
      expect(await Promise.all(free)).toEqual(ids.slice(1).map((id) => new Set([id])));
      await expect.poll(() => countWaiting(url)).toBe(1);
      await other.commit();
      expect(await held).toEqual(new Set());
      expect(await store.get("op_0")).toMatchObject({ owner: "server-2", info: { revision: 1n } });
    },
  );

  storeTest(open, "are done although one of them cannot be", async ({ store }) => {
    await Promise.all(stored.map((first) => store.create(first)));
    const [first = operation("op_0")] = stored;
    const impossible = replacement(
      changed(first, 2n, { expiresAt: create(TimestampSchema, { seconds: 2n ** 62n }) }),
      1n,
    );
    const [failed, ...others] = await Promise.allSettled(
      [impossible, ...changes.slice(1)].map((change) => store.replace([change])),
    );
    expect(failed).toMatchObject({ status: "rejected", reason: { code: "22P02" } });
    expect(others).toEqual(ids.slice(1).map((id) => ({ status: "fulfilled", value: new Set([id]) })));
    expect(store.trouble).toBeUndefined();
  });

  storeTest(open, "are told what they have come to when a connection is lost in the middle", async ({ store, url }) => {
    await Promise.all(stored.map((first) => store.create(first)));
    await using _ = await holdTransaction(url, lockFirst);
    const [held, ...free] = changes.map((change) => store.replace([change]));
    const lost = expect(held).rejects.toMatchObject(inDoubt);
    await expect.poll(() => countWaiting(url)).toBe(1);
    await runSql(url, "select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'");
    await lost;
    expect(await Promise.all(free)).toEqual(ids.slice(1).map((id) => new Set([id])));
    expect((await runSql(url, "select 1 from operations where revision = 2")).length).toBe(63);
  });

  storeTest(open, "are all in doubt when their one answer is lost", async (opened) => {
    await using proxy = await startTcpProxy(server().port);
    const through = new URL(opened.url);
    through.port = `${proxy.port}`;
    const { store } = await openPostgresStore(through.href, { statementTimeoutMs: 500 });
    try {
      await Promise.all(stored.map((first) => store.create(first)));
      proxy.setMode("to-target-only");
      const outcomes = await Promise.allSettled(changes.map((change) => store.replace([change])));
      for (const outcome of outcomes) {
        expect(outcome).toMatchObject({ status: "rejected", reason: inDoubt });
      }
      proxy.setMode("reset");
      await setTimeout(100);
      proxy.setMode("pass");
      await expect.poll(() => store.trouble, { timeout: 15_000, interval: 50 }).toBeUndefined();
      const found = await store.getMany(ids);
      expect(found.map(({ info }) => info.revision)).toEqual(ids.map(() => 2n));
    } finally {
      await store.close();
    }
  });
});
