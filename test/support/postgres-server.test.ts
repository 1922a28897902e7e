import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { machinePostgres } from "./postgres-binaries.ts";
import { type Process, processTree, stillThere } from "./postgres-processes.ts";
import { type PostgresOptions, type PostgresServer, startPostgres } from "./postgres-server.ts";
import { sharedMemoryOf } from "./postgres-shared-memory.ts";

const fixture = fileURLToPath(new URL("./postgres-fixture.ts", import.meta.url));
/** Long enough for a server that ends, or a hanging query that would not hang, on a busy machine. */
const patient = { timeout: 20_000 };
const machine = machinePostgres();
if (machine === undefined) {
  process.stderr.write("the machine's own PostgreSQL is not tested: none is installed\n");
}

/** A server that is stopped when the running test ends. */
async function serverOfTest(options?: PostgresOptions): Promise<PostgresServer> {
  const server = await startPostgres(options);
  onTestFinished(() => server.stop());
  return server;
}

/** A connection that is closed when the running test ends. */
async function connected(connectionString: string): Promise<Client> {
  const client = new Client({ connectionString, connectionTimeoutMillis: 20_000 });
  client.on("error", () => {});
  await client.connect();
  onTestFinished(() => void client.end().catch(() => {}));
  return client;
}

/** The values of the first column. */
async function query(url: string, sql: string): Promise<unknown[]> {
  const client = await connected(url);
  const { rows } = await client.query({ text: sql, rowMode: "array" });
  return rows.map(([value]) => value);
}

function processesOf({ directory }: PostgresServer): Process[] {
  return processTree(Number.parseInt(readFileSync(join(directory, "data/postmaster.pid"), "utf8"), 10));
}

function segments(): string[] {
  const lines = readFileSync("/proc/sysvipc/shm", "utf8").trim().split("\n");
  return lines.map((line) => line.trim().split(/\s+/)[1] ?? "");
}

describe("a server", () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server.stop());

  test("is a durable PostgreSQL of UTF-8", async () => {
    const url = await server.createDatabase();
    expect(String(await query(url, "SHOW server_version"))).toMatch(server.version);
    expect(await query(url, "SELECT setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit')")).toEqual([
      "on",
      "on",
    ]);
    expect(await query(url, "SHOW server_encoding")).toEqual(["UTF8"]);
  });

  test("has databases apart from each other", async () => {
    const [one, other] = [await server.createDatabase(), await server.createDatabase()];
    await query(one, "CREATE TABLE here (id int)");
    await expect(query(one, "SELECT id FROM here")).resolves.toEqual([]);
    await expect(query(other, "SELECT id FROM here")).rejects.toThrow('relation "here" does not exist');
  });

  test("lets nobody in with another password", async () => {
    const url = new URL(await server.createDatabase());
    url.password = "guess";
    await expect(query(url.href, "SELECT 1")).rejects.toMatchObject({ code: "28P01" });
  });

  test("has after a kill what was committed before, and refuses clients in between", async () => {
    const url = await server.createDatabase();
    await query(url, "CREATE TABLE kept AS SELECT 1 AS id");
    const client = await connected(url);
    const waiting = client.query("SELECT pg_sleep(600)");
    const cut = expect(waiting).rejects.toThrow("Connection terminated unexpectedly");
    const processes = processesOf(server);

    await server.kill();
    expect(stillThere(processes)).toEqual([]);
    await cut;
    await expect(query(url, "SELECT 1")).rejects.toMatchObject({ code: "ECONNREFUSED" });

    await server.start();
    await expect(server.start()).rejects.toThrow("the server runs already");
    expect(await query(url, "SELECT id FROM kept")).toEqual([1]);
  });

  test("is killed and started again and again, idle or computing", async () => {
    const url = await server.createDatabase();
    await query(url, "CREATE TABLE rounds (round int)");
    for (const round of [1, 2, 3]) {
      await query(url, `INSERT INTO rounds VALUES (${round})`);
      const client = await connected(url);
      const sql = round === 2 ? "SELECT count(*) FROM generate_series(1, 1e11::bigint)" : "SELECT 1";
      client.query(sql).catch(() => {});
      await server.kill();
      await server.start();
    }
    expect(await query(url, "SELECT round FROM rounds ORDER BY round")).toEqual([1, 2, 3]);
  });

  test("waits for its port when something else has it at a restart", async () => {
    const logs = () => readdirSync(server.directory).filter((name) => name.endsWith(".log")).length;
    const before = logs();
    await server.kill();
    const other = createServer().listen(server.port, "127.0.0.1");
    await once(other, "listening");
    const started = server.start();
    await expect.poll(logs, patient).toBeGreaterThan(before + 1);
    other.close();
    await started;
    expect(await query(await server.createDatabase(), "SELECT 1")).toEqual([1]);
  });

  test("answers nobody while it is frozen, and goes on after that", async () => {
    const url = await server.createDatabase();
    const client = await connected(url);
    server.freeze();
    onTestFinished(() => server.thaw());
    let answered = false;
    const answer = client.query("SELECT 1 AS one").finally(() => {
      answered = true;
    });
    const late = new Client({ connectionString: url, connectionTimeoutMillis: 300 });
    await expect(late.connect()).rejects.toThrow("timeout");
    await delay(100);
    expect(answered).toBe(false);

    server.thaw();
    expect((await answer).rows).toEqual([{ one: 1 }]);
  });
});

test("two servers run side by side", async () => {
  const [one, other] = await Promise.all([serverOfTest(), serverOfTest({ settings: { max_connections: "17" } })]);
  expect(one.port).not.toBe(other.port);
  expect(await query(await one.createDatabase(), "SHOW max_connections")).toEqual(["100"]);
  expect(await query(await other.createDatabase(), "SHOW max_connections")).toEqual(["17"]);
});

test("a setting that PostgreSQL does not know is an error that says so", async () => {
  await expect(startPostgres({ settings: { no_such_setting: "1" } })).rejects.toThrow("no_such_setting");
});

test.skipIf(machine === undefined)("the machine's own PostgreSQL runs, too", async () => {
  const server = await serverOfTest(machine && { binaries: machine });
  expect(server.version).toBe(machine?.version);
  expect(String(await query(await server.createDatabase(), "SHOW server_version"))).toMatch(server.version);
});

describe("stop leaves nothing of a server", () => {
  test.each(["running", "frozen", "killed"])("that is %s", async (state) => {
    const server = await serverOfTest();
    const client = await connected(await server.createDatabase());
    client.query("SELECT pg_sleep(600)").catch(() => {});
    const processes = processesOf(server);
    const segment = sharedMemoryOf(join(server.directory, "data"));
    if (state === "frozen") {
      server.freeze();
    } else if (state === "killed") {
      await server.kill();
    }

    await server.stop();
    await server.stop();
    expect(stillThere(processes)).toEqual([]);
    expect(existsSync(server.directory)).toBe(false);
    if (existsSync("/proc/sysvipc/shm")) {
      expect(segments()).not.toContain(segment);
    }
  });
});

describe("nothing is left of a process's servers when the process", () => {
  test.each([
    ["is killed", "waits"],
    ["is killed while they are frozen", "freezes"],
    ["ends", "ends"],
  ])("%s", async (_, then) => {
    const child = spawn(process.execPath, [fixture, then], { stdio: ["ignore", "pipe", "inherit"] });
    onTestFinished(() => void child.kill("SIGKILL"));
    const exited = once(child, "exit");
    const [line] = await once(child.stdout, "data");
    const { directory, processes }: { directory: string; processes: Process[] } = JSON.parse(String(line));
    expect(processes.length).toBeGreaterThan(1);
    if (then !== "ends") {
      expect(stillThere(processes)).toEqual(processes);
      child.kill("SIGKILL");
    }
    await exited;

    await expect.poll(() => stillThere(processes), patient).toEqual([]);
    await expect.poll(() => existsSync(dirname(directory)), patient).toBe(false);
  });
});
