import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { buildFailingDisk, type FailingDisk } from "./failing-disk.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const built = await buildFailingDisk();
const unavailable = "unavailable" in built;
if (unavailable) {
  process.stderr.write(`the failing disk is not tested: ${built.unavailable}\n`);
}
const disk = built as FailingDisk;

/** Result codes of SQLite, the extended ones. */
const full = 13;
const writeError = 778;
const fsyncError = 1034;

/**
 * Answers each line of its standard input with a line of JSON. "insert <batch> <rows>" is one transaction in the
 * database at argv[1], "count <batch>" reads it, "checkpoint" moves all of it into its own file; "append <file>" and
 * "sync <file>" use another file.
 */
const program = `
  import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
  import { createInterface } from "node:readline";
  import { DatabaseSync } from "node:sqlite";

  const database = new DatabaseSync(process.argv[1]);
  database.exec("pragma journal_mode = wal; pragma synchronous = full");
  database.exec("create table if not exists entries (batch text, number int)");
  const actions = {
    insert(batch, rows) {
      database.exec("begin immediate");
      for (let number = 1; number <= rows; number++) {
        database.prepare("insert into entries values (?, ?)").run(batch, number);
      }
      database.exec("commit");
    },
    count: (batch) => database.prepare("select count(*) as rows from entries where batch = ?").get(batch),
    checkpoint: () => database.exec("pragma wal_checkpoint(truncate)"),
    append: (file) => withFile(file, (fd) => writeSync(fd, "data")),
    sync: (file) => withFile(file, fsyncSync),
  };

  function withFile(path, use) {
    const fd = openSync(path, "a");
    try {
      use(fd);
    } finally {
      closeSync(fd);
    }
  }

  function answer(line) {
    const [action, ...operands] = line.split(" ");
    try {
      return { done: true, ...actions[action](...operands) };
    } catch (error) {
      return { code: error.errcode ?? error.code, inTransaction: database.isTransaction };
    }
  }

  console.log("{}");
  for await (const line of createInterface(process.stdin)) {
    console.log(JSON.stringify(answer(line)));
  }
`;

/** The program in a process of its own. */
interface Child {
  /** Gives it a line and answers what it answers. */
  ask(line: string): Promise<unknown>;
  /** By SIGKILL. Resolves when it has ended. */
  kill(): Promise<void>;
}

const done = { done: true };
const failed = (code: number | string) => ({ code, inTransaction: false });

/** Starts the program on a database, where a directory or file fails. It is killed when the running test ends. */
async function startChild(database: string, failing: string): Promise<Child> {
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program, database], {
    env: { ...process.env, ...disk.environmentFor(failing) },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const kill = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  onTestFinished(kill);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const nextLine = async () => JSON.parse((await lines.next()).value ?? "null");
  await nextLine();
  return {
    ask(line) {
      child.stdin.write(`${line}\n`);
      return nextLine();
    },
    kill,
  };
}

/** A directory that fails, and the program on a database in it. */
async function startInDirectory(): Promise<{ directory: string; database: string; child: Child }> {
  const directory = await temporaryDirectory();
  const database = join(directory, "entries.db");
  return { directory, database, child: await startChild(database, directory) };
}

/** How many rows each batch has, for somebody with a healthy disk. */
function batchesIn(path: string): Record<string, unknown> {
  const database = new DatabaseSync(path);
  const rows = database.prepare("select batch, count(*) as rows from entries group by batch").all();
  database.close();
  return Object.fromEntries(rows.map(({ batch, rows }) => [batch, rows]));
}

describe.skipIf(unavailable)("a failing disk", () => {
  beforeEach(() => disk.setMode("healthy"));
  afterAll(() => disk.remove());

  test.each([
    ["full", full],
    ["write-fails", writeError],
    ["fsync-fails", fsyncError],
  ] as const)("that is %s fails commits and checkpoints, but not reads, until it is healthy", async (mode, code) => {
    const { database, child } = await startInDirectory();
    expect(await child.ask("insert before 10")).toEqual(done);
    disk.setMode(mode);
    expect(await child.ask("insert refused 10")).toEqual(failed(code));
    expect(await child.ask("insert refused 1")).toEqual(failed(code));
    expect(await child.ask("checkpoint")).toEqual(failed(code));
    expect(await child.ask("count before")).toEqual({ ...done, rows: 10 });
    expect(await child.ask("count refused")).toEqual({ ...done, rows: 0 });

    disk.setMode("healthy");
    expect(await child.ask("insert after 20")).toEqual(done);
    expect(await child.ask("checkpoint")).toEqual(done);
    expect(await child.ask("insert later 30")).toEqual(done);
    await child.kill();
    expect(batchesIn(database)).toEqual({ before: 10, after: 20, later: 30 });
  });

  test.each(["full", "write-fails", "fsync-fails"] as const)(
    "that is %s when the process is killed has all that was acknowledged",
    async (mode) => {
      const { database, child } = await startInDirectory();
      const acknowledged: Record<string, number> = {};
      for (let round = 1; round <= 20; round++) {
        disk.setMode(round % 3 === 0 ? mode : "healthy");
        const answer = await child.ask(`insert ${round} ${round}`);
        if (JSON.stringify(answer) === JSON.stringify(done)) {
          acknowledged[round] = round;
        }
      }
      expect(Object.keys(acknowledged)).toHaveLength(14);
      disk.setMode(mode);
      await child.ask("insert last 100");
      await child.kill();

      // A commit that only could not be synced is whole in the file, and SQLite cannot know that it was refused.
      const last = mode === "fsync-fails" ? { last: 100 } : {};
      expect(batchesIn(database)).toEqual({ ...acknowledged, ...last });
    },
  );

  test("fails for its directory only, however that is reached", async () => {
    const parent = await temporaryDirectory();
    mkdirSync(join(parent, "disk"));
    mkdirSync(join(parent, "disk-2"));
    symlinkSync("disk", join(parent, "link"));
    const child = await startChild(join(parent, "disk-2/entries.db"), join(parent, "link"));
    const ask = (action: string, file: string) => child.ask(`${action} ${join(parent, file)}`);

    disk.setMode("full");
    expect(await ask("append", "disk/file")).toEqual(failed("ENOSPC"));
    expect(await ask("append", "link/file")).toEqual(failed("ENOSPC"));
    expect(await ask("sync", "disk/file")).toEqual(done);
    expect(await ask("append", "disk-2/file")).toEqual(done);
    expect(await child.ask("insert elsewhere 10")).toEqual(done);
    disk.setMode("write-fails");
    expect(await ask("append", "disk/file")).toEqual(failed("EIO"));
    disk.setMode("fsync-fails");
    expect(await ask("sync", "disk/file")).toEqual(failed("EIO"));
    expect(await ask("append", "disk/file")).toEqual(done);
    expect(await ask("sync", "disk-2/file")).toEqual(done);
    expect(readFileSync(join(parent, "disk/file"), "utf8")).toBe("data");
  });

  test("can be one file: a database commits into its -wal, and is not checkpointed", async () => {
    const database = join(await temporaryDirectory(), "entries.db");
    writeFileSync(database, "");
    const child = await startChild(database, database);
    disk.setMode("full");
    expect(await child.ask("insert first 10")).toEqual(done);
    expect(await child.ask("checkpoint")).toEqual(failed(full));
    disk.setMode("healthy");
    expect(await child.ask("checkpoint")).toEqual(done);
  });
});
