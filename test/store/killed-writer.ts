/**
 * Writes to the store at argv[2] until it is killed, and prints each promise that was kept: an operation that
 * was created or replaced, or the newest sequence of its log.
 */
import { writeSync } from "node:fs";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { openSqliteStore } from "../../src/store/sqlite-store.ts";
import { appending, changed, operation, records, replacement, summary } from "./store-fixture.ts";

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
    await store.appendMetrics(appending(id, records(1, 30), summary("30")));
    acknowledge(`appended ${id} 30`);
    await store.replace([replacement(changed(created, 2n, { status: OperationStatus.RUNNING }), 1n)]);
    acknowledge(`replaced ${id}`);
    await store.appendMetrics(appending(id, records(31, 100), summary("100")));
    acknowledge(`appended ${id} 100`);
  }
}

await Promise.all([createAndAppend(0), createAndAppend(1), createAndAppend(2)]);
