/**
 * Writes to the store at argv[2] until it is killed, and prints each promise that was kept: the id of a created
 * operation, or an operation and the newest sequence of its log.
 */
import { writeSync } from "node:fs";
import { openSqliteStore } from "../../src/store/sqlite-store.ts";
import { changed, operation, records, summary } from "./store-fixture.ts";

const [path = "", round = ""] = process.argv.slice(2);
const store = await openSqliteStore(path);

function acknowledge(line: string): void {
  writeSync(1, `${line}\n`);
}

async function createAndAppend(writer: number): Promise<never> {
  for (let count = 0; ; count++) {
    const id = `op_${round}_${writer}_${count}`;
    const created = operation(id, { labels: { round }, requestId: id });
    await store.create(created);
    acknowledge(`created ${id}`);
    const metrics = { records: records(1, 30), summary: summary("30") };
    await store.replace([{ operation: changed(created, 2n), expectedRevision: 1n, metrics }]);
    acknowledge(`appended ${id} 30`);
    await store.appendMetrics(id, records(31, 100), summary("100"));
    acknowledge(`appended ${id} 100`);
  }
}

await Promise.all([createAndAppend(0), createAndAppend(1), createAndAppend(2)]);
