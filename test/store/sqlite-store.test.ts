import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { openSqliteStore } from "../../src/store/sqlite-store.ts";
import { openTemporaryStore, withDirectory } from "./sqlite-directory.ts";
import { describeStoreConformance } from "./store-conformance.ts";
import { createWithRecords, endedOperation, epochMs, operation } from "./store-fixture.ts";

describeStoreConformance("the SQLite store", openTemporaryStore);

describe("opening a SQLite store", () => {
  test("makes the directories of the path", () =>
    withDirectory(async (directory) => {
      const path = join(directory, "some", "where", "longhaul.db");
      const store = await openSqliteStore(path);
      await store.create(operation("op_a"));
      await store.close();
      const again = await openSqliteStore(path);
      expect(await again.get("op_a")).toBeDefined();
      await again.close();
      expect(readdirSync(join(directory, "some", "where")).sort()).toEqual(["longhaul.db", "longhaul.db.lock"]);
    }));

  test("in memory keeps nothing", async () => {
    const store = await openSqliteStore(":memory:");
    await store.create(operation("op_a"));
    await store.close();
    const other = await openSqliteStore(":memory:");
    expect(await other.get("op_a")).toBeUndefined();
    await other.close();
  });

  test("refuses a directory that cannot be made, naming it", () =>
    withDirectory(async (directory) => {
      const file = join(directory, "file");
      writeFileSync(file, "");
      await expect(openSqliteStore(join(file, "data", "longhaul.db"))).rejects.toThrow(
        `the data directory ${join(file, "data")} cannot be created: `,
      );
    }));

  test("refuses a path that cannot be written, naming it", () =>
    withDirectory(async (directory) => {
      const path = join(directory, "longhaul.db");
      mkdirSync(path);
      await expect(openSqliteStore(path)).rejects.toThrow(`the database ${path} cannot be written: `);
    }));

  test("refuses a file that is not a database, naming it, and leaves it as it is", () =>
    withDirectory(async (directory) => {
      const path = join(directory, "longhaul.db");
      const notes = "These are notes, and not at all a database. ".repeat(100);
      writeFileSync(path, notes);
      await expect(openSqliteStore(path)).rejects.toThrow(`the database ${path} is not a SQLite database; `);
      expect(readFileSync(path, "utf8")).toBe(notes);
    }));

  test("refuses a damaged database, naming it", () =>
    withDirectory(async (directory) => {
      const path = join(directory, "longhaul.db");
      await (await openSqliteStore(path)).close();
      const bytes = readFileSync(path);
      writeFileSync(path, bytes.fill(0xff, 100));
      await expect(openSqliteStore(path)).rejects.toThrow(`the database ${path} cannot be opened: `);
    }));

  test("refuses the schema of a newer version, naming both", () =>
    withDirectory(async (directory) => {
      const path = join(directory, "longhaul.db");
      await (await openSqliteStore(path)).close();
      const database = new DatabaseSync(path);
      database.exec("insert into kysely_migration values ('9001_future', '2030-01-01T00:00:00.000Z')");
      database.close();
      await expect(openSqliteStore(path)).rejects.toThrow(
        new RegExp(`^the database ${path} has the schema "9001_future" .* knows schemas up to "0004_growth"`),
      );
    }));

  test("refuses a database another program has locked, naming it", () =>
    withDirectory(async (directory) => {
      const path = join(directory, "longhaul.db");
      const other = new DatabaseSync(path);
      other.exec("pragma locking_mode = exclusive; begin exclusive; create table x (y)");
      try {
        await expect(openSqliteStore(path)).rejects.toThrow(`the database ${path} is locked by another program; `);
      } finally {
        other.close();
      }
      await (await openSqliteStore(path)).close();
    }));

  test("refuses a second server until the first has closed", () =>
    withDirectory(async (directory) => {
      const path = join(directory, "longhaul.db");
      const first = await openSqliteStore(path);
      await expect(openSqliteStore(path)).rejects.toThrow(
        `the database ${path} is used by another longhaul server; stop that one or use another data directory`,
      );
      await first.create(operation("op_a"));
      await first.close();
      const second = await openSqliteStore(path);
      expect(await second.get("op_a")).toBeDefined();
      await second.close();
    }));
});

describe("a SQLite store in use", () => {
  test("can be read by other programs", () =>
    withDirectory(async (directory) => {
      const path = join(directory, "longhaul.db");
      const store = await openSqliteStore(path);
      await store.create(operation("op_a"));
      const reader = new DatabaseSync(path, { readOnly: true });
      expect(reader.prepare("select operation_id from operations").all()).toEqual([{ operation_id: "op_a" }]);
      reader.close();
      await store.close();
    }));

  test("keeps nothing of operations that are gone, even when it was closed in the middle", () =>
    withDirectory(async (directory) => {
      const path = join(directory, "longhaul.db");
      const store = await openSqliteStore(path);
      for (const id of ["op_deleted", "op_expired", "op_interrupted"]) {
        await createWithRecords(store, endedOperation(id, 0, { labels: { team: "ml" } }), 12_000);
      }
      await store.close();
      const database = new DatabaseSync(path);
      database.exec(`
        insert into dropped_metric_logs select log_id, 0, cursor from metric_logs where operation_id = 'op_interrupted';
        delete from metric_logs where operation_id = 'op_interrupted';
      `);
      database.close();

      const again = await openSqliteStore(path);
      await again.delete("op_deleted", 1n);
      await again.expire(epochMs, 10, epochMs);
      await again.expire(epochMs, 10, epochMs);
      await again.close();
      const left = new DatabaseSync(path);
      const tables = [
        "operations",
        "operation_labels",
        "metric_logs",
        "metric_records",
        "dropped_metric_logs",
        "tombstones",
      ];
      for (const table of tables) {
        expect(left.prepare(`select count(*) as rows from ${table}`).get(), table).toEqual({ rows: 0 });
      }
      left.close();
    }));

  test("is unavailable while it cannot be written, and goes on afterwards", () =>
    withDirectory(async (directory) => {
      const path = join(directory, "longhaul.db");
      const store = await openSqliteStore(path);
      const other = new DatabaseSync(path);
      other.exec("begin immediate");
      await expect(store.create(operation("op_a"))).rejects.toMatchObject({
        reason: "STORE_UNAVAILABLE",
        cause: { message: "database is locked" },
      });
      expect(await store.get("op_a")).toBeUndefined();
      other.exec("rollback");
      other.close();
      expect(await store.create(operation("op_a"))).toEqual({ created: true });
      await store.close();
    }));
});
