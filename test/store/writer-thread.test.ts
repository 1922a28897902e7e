import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { openSqliteStore } from "../../src/store/sqlite-store.ts";
import { WriterThread, WriterThreadEnded } from "../../src/store/writer-thread.ts";
import { buildFailingDisk } from "../support/failing-disk.ts";
import { withDirectory } from "./sqlite-directory.ts";
import { operation } from "./store-fixture.ts";

const run = promisify(execFile);
const endingWriter = new URL("ending-writer.ts", import.meta.url);

/** Runs a test with a thread that writes to a database of its own, and a connection that reads what it wrote. */
function threadTest(name: string, body: (thread: WriterThread, reader: DatabaseSync) => Promise<void>): void {
  test(name, () =>
    withDirectory(async (directory) => {
      const file = join(directory, "longhaul.db");
      await (await openSqliteStore(file)).close();
      const thread = new WriterThread(file);
      await thread.up;
      const reader = new DatabaseSync(file, { readOnly: true });
      try {
        await body(thread, reader);
      } finally {
        reader.close();
        await thread.close();
      }
    }),
  );
}

function tombstone(operation_id: string) {
  return { operation_id, expired_at: 0, kept_until: 0 };
}

function tombstones(reader: DatabaseSync): unknown[] {
  const rows = reader.prepare("select operation_id from tombstones order by operation_id").all();
  return rows.map((row) => row["operation_id"]);
}

/** How many commits are in a write-ahead log: the last frame of each has the size of the database in its header. */
function commitsIn(reader: DatabaseSync): number {
  const log = readFileSync(`${reader.location()}-wal`);
  const frameSize = 24 + log.readUInt32BE(8);
  let commits = 0;
  for (let frame = 32; frame < log.length; frame += frameSize) {
    commits += Number(log.readUInt32BE(frame + 4) > 0);
  }
  return commits;
}

threadTest("a write can be read by others when it is answered", async (thread, reader) => {
  await thread.write("writeTombstone", 1, tombstone("a"));
  expect(tombstones(reader)).toEqual(["a"]);
});

threadTest("writes that come together share a commit", async (thread, reader) => {
  const ids = Array.from({ length: 64 }, (_, index) => `op_${100 + index}`);
  await Promise.all(ids.map((id) => thread.write("writeTombstone", 1, tombstone(id))));
  expect(tombstones(reader)).toEqual(ids);
  expect(commitsIn(reader)).toBe(1);
});

threadTest("a write that fails takes no other with it, and says what SQLite says", async (thread, reader) => {
  const outcomes = await Promise.allSettled([
    thread.write("writeTombstone", 1, tombstone("a")),
    thread.write("writeTombstone", 1, { ...tombstone("bad"), kept_until: null as never }),
    thread.write("writeTombstone", 1, tombstone("c")),
  ]);
  expect(outcomes).toMatchObject([
    { status: "fulfilled" },
    // SQLITE_CONSTRAINT_NOTNULL
    { status: "rejected", reason: { message: "NOT NULL constraint failed: tombstones.kept_until", errcode: 1299 } },
    { status: "fulfilled" },
  ]);
  expect(tombstones(reader)).toEqual(["a", "c"]);
});

threadTest("closing waits for the writes that have come, and refuses later ones", async (thread, reader) => {
  const write = thread.write("writeTombstone", 1, tombstone("a"));
  await thread.close();
  await write;
  expect(tombstones(reader)).toEqual(["a"]);
  await expect(thread.write("writeTombstone", 1, tombstone("b"))).rejects.toThrow(WriterThreadEnded);
});

test("a thread that cannot open the file was never up", () =>
  withDirectory(async (directory) => {
    const thread = new WriterThread(directory);
    const write = thread.write("removeDropped", 1, undefined);
    await expect(write).rejects.toMatchObject({ name: "WriterThreadEnded", cause: { message: /unable to open/ } });
    expect(await thread.up).toBe(false);
    await thread.close();
  }));

test("a store whose thread ends is in trouble, and goes on without it until there is another one", () =>
  withDirectory(async (directory) => {
    const told: (string | undefined)[] = [];
    let threads = 0;
    const store = await openSqliteStore(join(directory, "longhaul.db"), {
      threadAfterMs: 0,
      startThread: (file) => {
        threads++;
        return new WriterThread(file, endingWriter);
      },
      onTrouble: (reason) => told.push(reason),
    });
    const [first, second] = await Promise.allSettled([
      store.create(operation("op_a")),
      store.create(operation("op_b")),
    ]);
    for (const outcome of [first, second]) {
      expect(outcome).toMatchObject({
        reason: {
          reason: "STORE_UNAVAILABLE",
          message: "the store cannot be used: the thread that writes the database has ended",
          details: { mayBeDone: true },
        },
      });
    }
    await expect.poll(() => store.trouble).toBeUndefined();
    expect(await store.create(operation("op_c"))).toEqual({ created: true });
    expect(await store.get("op_c")).toBeDefined();
    expect(told).toEqual(["the thread that writes the database has ended", undefined]);
    expect(threads).toBe(1);
    await store.close();
  }));

test("an idle thread does not keep a process alive, a write does", () =>
  withDirectory(async (directory) => {
    const script = `
      const { openSqliteStore } = await import("./src/store/sqlite-store.ts");
      const { operation } = await import("./test/store/store-fixture.ts");
      const store = await openSqliteStore(process.argv[1], { threadAfterMs: 0 });
      store.create(operation("op_a")).then(() => process.stdout.write("created"));
    `;
    const path = join(directory, "longhaul.db");
    const node = ["--conditions=source", "--input-type=module", "--eval", script, path];
    const cwd = fileURLToPath(new URL("../..", import.meta.url));
    expect((await run(process.execPath, node, { cwd })).stdout).toBe("created");
    const store = await openSqliteStore(path);
    expect(await store.get("op_a")).toBeDefined();
    await store.close();
  }));

test("a slow disk does not hold up reads", ({ skip }) =>
  withDirectory(async (directory) => {
    const disk = await buildFailingDisk();
    if ("unavailable" in disk) {
      skip(disk.unavailable);
      return;
    }
    try {
      const path = join(directory, "longhaul.db");
      await (await openSqliteStore(path)).close();
      disk.setMode("slow");
      const env = { ...process.env, ...disk.environmentFor(directory) };
      const script = fileURLToPath(new URL("slow-writer.ts", import.meta.url));
      const node = ["--conditions=source", script, path];
      expect((await run(process.execPath, node, { env })).stdout).toBe('["read","write","write"]');
    } finally {
      disk.remove();
    }
  }));
