import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { OperationStore } from "../../src/operations/operation-store.ts";
import { openSqliteStore } from "../../src/store/sqlite-store.ts";
import { withDirectory } from "./sqlite-directory.ts";
import { at, filter, records, summary } from "./store-fixture.ts";

const writer = fileURLToPath(new URL("killed-writer.ts", import.meta.url));
const rounds = 4;

test("what was acknowledged is there after kill -9, and the next server is let in", { timeout: 60_000 }, () =>
  withDirectory(async (directory) => {
    const path = join(directory, "longhaul.db");
    const acknowledged: string[] = [];
    for (let round = 0; round < rounds; round++) {
      const lines = await writeAndKill(path, round);
      expect(lines.length).toBeGreaterThan(0);
      acknowledged.push(...lines);

      const store = await openSqliteStore(path);
      await expectAll(store, acknowledged);
      await expectWholeLogs(store, `${round}`);
      await expectTrueCounts(store);
      await store.close();
    }
  }),
);

/** Lets a writer run until it has acknowledged a random number of writes and kills it. Answers what it acknowledged. */
async function writeAndKill(path: string, round: number): Promise<string[]> {
  const child = spawn(process.execPath, [writer, path, `${round}`], { stdio: ["ignore", "pipe", "inherit"] });
  const enough = 1 + Math.floor(Math.random() * 300);
  const lines: string[] = [];
  try {
    for await (const line of createInterface(child.stdout)) {
      lines.push(line);
      if (lines.length === enough) {
        await expect(openSqliteStore(path)).rejects.toThrow("is used by another longhaul server");
        child.kill("SIGKILL");
      }
    }
    if (child.exitCode === null && child.signalCode === null) {
      await once(child, "exit");
    }
  } finally {
    child.kill("SIGKILL");
  }
  expect(child.signalCode).toBe("SIGKILL");
  return lines;
}

async function expectAll(store: OperationStore, acknowledged: readonly string[]): Promise<void> {
  for (const line of acknowledged) {
    const [what, id = "", cursor = "0"] = line.split(" ");
    const stored = await store.get(id);
    expect(stored, line).toBeDefined();
    if (what === "replaced") {
      expect(stored?.info.revision, line).toBe(2n);
    }
    expect((await store.metricsLog(id)).cursor, line).toBeGreaterThanOrEqual(Number(cursor));
  }
}

/** What is counted is what is there. */
async function expectTrueCounts(store: OperationStore): Promise<void> {
  const kept = await store.count(filter());
  expect(kept).not.toEqual([]);
  // A range has to be counted one by one.
  expect(kept).toEqual(await store.count(filter({ createdAfter: at(0) })));
}

/** Every operation has its label, and a log that is as long as its end says. */
async function expectWholeLogs(store: OperationStore, round: string): Promise<void> {
  const newest = await store.list(filter({ labels: { round } }), undefined, 20);
  for (const {
    info: { operationId, revision },
  } of newest) {
    const log = await store.metricsLog(operationId);
    expect(log.summary).toEqual(log.cursor === 0 ? new Uint8Array() : summary(`${log.cursor}`));
    expect(log.cursor).toBeGreaterThanOrEqual(revision === 2n ? 30 : 0);
    expect(await store.readMetrics(operationId, 0, 1_000)).toEqual(records(1, log.cursor));
  }
}
