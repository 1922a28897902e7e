import { setTimeout } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { openPostgresStore } from "../../src/store/postgres-store.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { describeOnPostgres, openToldStore, runSql, type ToldStore } from "./postgres-databases.ts";
import { appending, changed, operation, records, replacement, storeTest, summary } from "./store-fixture.ts";

/** Long enough for a server to start and for a probe to find it, on a busy machine. */
const patient = { timeout: 15_000, interval: 50 };
const statementTimeoutMs = 500;
/** The longest any call may take: 1 s for a connection, the statement, and 0.5 s for its answer. */
const longestCallMs = 1_000 + statementTimeoutMs + 500;

const unavailable = { name: "CallError", reason: "STORE_UNAVAILABLE" };

describeOnPostgres("the PostgreSQL store while its database is away", (server) => {
  const outageTest = (name: string, body: (opened: ToldStore) => Promise<void>) =>
    storeTest(() => openToldStore(server(), { statementTimeoutMs }), name, body);

  describe("killed and started again", () => {
    outageTest("it says so, refuses calls, and goes on by itself", async ({ store, instances, told }) => {
      await store.create(operation("op_a"));
      await Promise.all(Array.from({ length: 20 }, () => store.get("op_a")));
      await server().kill();
      await expect(store.get("op_a")).rejects.toMatchObject(unavailable);
      await expect(store.create(operation("op_b"))).rejects.toMatchObject(unavailable);
      await expect(instances.renew("server-1", 1_000)).rejects.toMatchObject(unavailable);
      expect(store.trouble).toBe(told.at(-1));
      expect(told[0]).toMatch(/^the (database|connection to the database) /);

      await server().start();
      await expect.poll(() => store.trouble, patient).toBeUndefined();
      expect(told.at(-1)).toBeUndefined();
      expect(await store.get("op_a")).toEqual(operation("op_a"));
      const ids = Array.from({ length: 30 }, (_, index) => `op_${index}`);
      expect(await Promise.all(ids.map((id) => store.create(operation(id))))).toEqual(
        ids.map(() => ({ created: true })),
      );
    });

    outageTest("nothing that was acknowledged is lost", async ({ store }) => {
      const acknowledged = new Map<string, number>();
      let stop = false;
      const write = async (writer: number) => {
        for (let count = 0; !stop; count++) {
          const id = `op_${writer}_${count}`;
          try {
            await store.create(operation(id, { labels: { writer: `${writer}` } }));
            acknowledged.set(id, 0);
            await store.appendMetrics(appending(id, records(1, 20), summary("20")));
            acknowledged.set(id, 20);
            await store.replace([replacement(changed(operation(id), 2n), 1n)]);
          } catch (error) {
            expect(error).toMatchObject(unavailable);
            await setTimeout(20);
          }
        }
      };
      const writers = Array.from({ length: 12 }, (_, writer) => write(writer));
      for (let round = 0; round < 3; round++) {
        const before = acknowledged.size;
        await expect.poll(() => acknowledged.size, patient).toBeGreaterThan(before + 20);
        await server().kill();
        await server().start();
      }
      const before = acknowledged.size;
      await expect.poll(() => acknowledged.size, patient).toBeGreaterThan(before + 20);
      stop = true;
      await Promise.all(writers);
      for (const [id, cursor] of acknowledged) {
        expect(await store.get(id), id).toBeDefined();
        expect((await store.metricsLog(id)).cursor, id).toBeGreaterThanOrEqual(cursor);
        expect(await store.readMetrics(id, 0, 100), id).toEqual(cursor === 0 ? expect.anything() : records(1, 20));
      }
    });
  });

  describe("frozen", () => {
    outageTest(
      "it fails calls in time, refuses the next at once, and goes on once it is thawed",
      async ({ store, told }) => {
        await store.create(operation("op_a"));
        await Promise.all(Array.from({ length: 20 }, () => store.get("op_a")));
        server().freeze();
        try {
          const start = performance.now();
          const outcomes = await Promise.allSettled([
            ...Array.from({ length: 30 }, () => store.get("op_a")),
            store.create(operation("op_b", { labels: { team: "ml" } })),
            store.expire(0, 10, 0),
          ]);
          expect(performance.now() - start).toBeLessThan(longestCallMs + 1_000);
          expect(outcomes.map(({ status }) => status)).toEqual(outcomes.map(() => "rejected"));
          expect(told).toEqual(["the database does not answer in time"]);

          const refusedAt = performance.now();
          await expect(store.get("op_a")).rejects.toMatchObject(unavailable);
          expect(performance.now() - refusedAt).toBeLessThan(100);
        } finally {
          server().thaw();
        }
        await expect.poll(() => store.trouble, patient).toBeUndefined();
        expect(told).toEqual(["the database does not answer in time", undefined]);
        const gets = await Promise.all(Array.from({ length: 30 }, () => store.get("op_a")));
        expect(gets).toEqual(gets.map(() => operation("op_a")));
        expect(await store.create(operation("op_c"))).toEqual({ created: true });
      },
    );

    outageTest("it can be closed, and leaves no connection behind", async ({ url, store }) => {
      await Promise.all(Array.from({ length: 20 }, () => store.get("op_a")));
      server().freeze();
      try {
        const start = performance.now();
        const call = expect(store.get("op_a")).rejects.toMatchObject(unavailable);
        await store.close();
        await call;
        expect(performance.now() - start).toBeLessThan(longestCallMs + 2_000);
      } finally {
        server().thaw();
      }
      const connections = () =>
        runSql(
          url,
          "select pid from pg_stat_activity where datname = current_database() and application_name = 'longhaul'",
        );
      await expect.poll(connections, patient).toEqual([]);
    });

    outageTest("connections that hang are all replaced when one of them has failed", async ({ url, store, told }) => {
      await store.create(operation("op_a"));
      await Promise.all(Array.from({ length: 50 }, () => store.get("op_a")));
      const rows = await runSql(url, "select pid from pg_stat_activity where application_name = 'longhaul'");
      expect(rows.length).toBeGreaterThan(5);
      const backends = rows.map(({ pid }) => Number(pid));
      for (const pid of backends) {
        process.kill(pid, "SIGSTOP");
      }
      try {
        await expect(store.get("op_a")).rejects.toMatchObject(unavailable);
        const start = performance.now();
        await expect.poll(() => store.trouble, patient).toBeUndefined();
        await Promise.all(Array.from({ length: 50 }, () => store.get("op_a")));
        expect(performance.now() - start).toBeLessThan(statementTimeoutMs);
        expect(told).toHaveLength(2);
      } finally {
        for (const pid of backends) {
          process.kill(pid, "SIGCONT");
        }
      }
    });

    test("it is not opened, in time", async () => {
      const url = await server().createDatabase();
      server().freeze();
      try {
        const start = performance.now();
        await expect(openPostgresStore(url, { statementTimeoutMs })).rejects.toThrow(
          /^the database 127\.0\.0\.1:\d+\/test_\d+ cannot be reached: /,
        );
        expect(performance.now() - start).toBeLessThan(longestCallMs + 1_000);
      } finally {
        server().thaw();
      }
    });
  });

  describe("cut off by the network", () => {
    outageTest("a call whose answer is lost fails in time, and may have been done", async ({ url }) => {
      await using proxy = await startTcpProxy(server().port);
      const through = new URL(url);
      through.port = `${proxy.port}`;
      const { store } = await openPostgresStore(through.href, { statementTimeoutMs });
      try {
        const first = operation("op_a", { requestId: "r" });
        await store.create(first);
        proxy.setMode("to-target-only");
        const start = performance.now();
        await expect(store.replace([replacement(changed(first, 2n), 1n)])).rejects.toMatchObject({
          ...unavailable,
          message: "the store cannot be used: the database does not answer in time",
        });
        expect(performance.now() - start).toBeLessThan(longestCallMs);
        proxy.setMode("reset");
        await setTimeout(500);
        expect(store.trouble).toBeDefined();
        proxy.setMode("pass");
        await expect.poll(() => store.trouble, patient).toBeUndefined();
        expect(await store.get("op_a")).toMatchObject({ info: { revision: 2n } });
        expect(await store.create(first)).toMatchObject({ created: false, conflict: "request_id" });
      } finally {
        await store.close();
      }
    });
  });
});
