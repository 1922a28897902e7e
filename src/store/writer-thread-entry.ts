import { setImmediate } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { Kysely } from "kysely";
import { nodeSqliteDialect } from "./node-sqlite-dialect.ts";
import type { StoreTables } from "./schema.ts";
import { openSqliteFile } from "./sqlite-file.ts";
import { sqliteWriter } from "./sqlite-writer.ts";
import {
  type FromWriterThread,
  sentError,
  type ToWriterThread,
  type WriteCall,
  type WriteOutcome,
  type WriterThreadStart,
} from "./writer-thread-protocol.ts";

const { file } = workerData as WriterThreadStart;
const db = new Kysely<StoreTables>({ dialect: nodeSqliteDialect(openSqliteFile(file)) });
const write = sqliteWriter(db);
const underWay = new Set<Promise<void>>();
let outcomes: WriteOutcome[] = [];

function tell(message: FromWriterThread): void {
  parentPort?.postMessage(message);
}

/** Writes of one transaction have their outcomes at the same time, and are told of them in one message. */
function settle(outcome: WriteOutcome): void {
  outcomes.push(outcome);
  if (outcomes.length === 1) {
    // Before the event loop goes on: the next transaction would hold the message up.
    process.nextTick(() => {
      tell(outcomes);
      outcomes = [];
    });
  }
}

async function run({ id, name, rows, given }: WriteCall): Promise<void> {
  try {
    settle({ id, answer: await write(name, rows, given) });
  } catch (error) {
    settle({ id, error: sentError(error) });
  }
}

async function close(): Promise<void> {
  await Promise.all(underWay);
  // Their outcomes are told first.
  await setImmediate();
  await db.destroy();
  parentPort?.close();
}

parentPort?.on("message", (message: ToWriterThread) => {
  if (message === "close") {
    void close();
    return;
  }
  for (const call of message) {
    const running = run(call).finally(() => underWay.delete(running));
    underWay.add(running);
  }
});
tell("up");
