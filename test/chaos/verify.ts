import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type OperationInfo, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { isTerminal } from "../../src/operations/life-cycle.ts";
import type { Load } from "./load.ts";
import { type RecordSeen, recordsOf, type Told } from "./told.ts";

const { PENDING, RUNNING, COMPLETED } = OperationStatus;

/** How long everything may take to end after the last kill, in milliseconds. */
const settleMs = 120_000;
const pollMs = 300;
const batch = 500;

/**
 * Waits for what ends by itself, cancels the rest, and answers every operation as it has ended. What does not end is
 * noted as broken.
 */
export async function settle(load: Load, told: Told): Promise<Map<string, OperationInfo>> {
  const filter = { statuses: [PENDING, RUNNING] };
  const ended = new Map<string, OperationInfo>();
  const giveUpAtMs = performance.now() + settleMs;
  for (;;) {
    const open = told.ids.filter((operationId) => !ended.has(operationId));
    if (open.every((operationId) => told.created(operationId)?.hold)) {
      await load.call("CancelOperations", (client) => client.cancelOperations({ filter, reason: "the end" }));
    }
    for (let from = 0; from < open.length; from += batch) {
      const askedAtMs = performance.now();
      const operations = open.slice(from, from + batch).map((operationId) => ({ operationId }));
      const answer = await load.call("BatchGetOperations", (client) => client.batchGetOperations({ operations }));
      told.broken.push(...(answer?.notFound ?? []).map((operationId) => `${operationId} is lost`));
      for (const operation of answer?.operations ?? []) {
        told.see(operation, askedAtMs);
        if (isTerminal(operation.status)) {
          ended.set(operation.operationId, operation);
        }
      }
    }
    if (ended.size === told.ids.length) {
      return ended;
    }
    if (performance.now() > giveUpAtMs) {
      const left = told.ids.filter((operationId) => !ended.has(operationId));
      told.broken.push(...left.map((operationId) => `${operationId} has not ended`));
      return ended;
    }
    await sleep(pollMs);
  }
}

/** Holds every log against what clients were told, and what its operation was to write. */
export async function checkMetrics(load: Load, told: Told, ended: ReadonlyMap<string, OperationInfo>): Promise<void> {
  for (const [operationId, operation] of ended) {
    const all: RecordSeen[] = [];
    for (let cursor = 0n, more = true; more; ) {
      const page = await load.call("GetMetrics", (client) => client.getMetrics({ operationId, cursor }));
      if (!page) {
        return;
      }
      const records = recordsOf(page.metrics);
      told.seeRecords(operationId, records, cursor, page.newCursor);
      all.push(...records);
      cursor = page.newCursor;
      more = page.hasMore;
    }
    if (BigInt(all.length) !== operation.metricsCursor) {
      told.broken.push(`${operationId}: has ${all.length} records and says ${operation.metricsCursor}`);
    }
    if (BigInt(all.length) < told.cursorOf(operationId)) {
      told.broken.push(`${operationId}: has ${all.length} records, and ${told.cursorOf(operationId)} were answered`);
    }
    const written = told.created(operationId)?.records ?? 0;
    const last = all.filter(({ attempt }) => attempt === operation.attempt);
    if (last.some(({ index }, position) => index !== position + 1)) {
      told.broken.push(`${operationId}: its last run's records are ${last.map(({ index }) => index).join(", ")}`);
    }
    if (operation.status === COMPLETED && last.length !== written) {
      told.broken.push(`${operationId}: has completed with ${last.length} of ${written} records`);
    }
  }
}

/** Holds what ran, by the work's own account, against what there is. `rerun` are the types that may run again. */
export function checkLedger(
  ledger: string,
  told: Told,
  ended: ReadonlyMap<string, OperationInfo>,
  rerun: ReadonlySet<string>,
): number {
  const runs = new Map<string, number[]>();
  const lines = existsSync(ledger) ? readFileSync(ledger, "utf8").split("\n").filter(Boolean) : [];
  for (const line of lines) {
    const [operationId = "", attempt] = line.split(" ");
    runs.set(operationId, [...(runs.get(operationId) ?? []), Number(attempt)]);
  }
  for (const [operationId, attempts] of runs) {
    const operation = ended.get(operationId);
    if (!operation) {
      told.broken.push(`${operationId} ran, but nobody has created it`);
    } else if (new Set(attempts).size < attempts.length) {
      told.broken.push(`${operationId} ran twice: attempts ${attempts.join(", ")}`);
    } else if (attempts.length > 1 && !rerun.has(operation.operationType)) {
      told.broken.push(`${operationId} ran again, but must not: attempts ${attempts.join(", ")}`);
    } else if (operation.status === COMPLETED && attempts.some((attempt) => attempt > operation.attempt)) {
      told.broken.push(`${operationId} ran as attempt ${attempts.join(", ")} and completed as ${operation.attempt}`);
    }
  }
  for (const [operationId, operation] of ended) {
    if (operation.status === COMPLETED && !runs.get(operationId)?.includes(operation.attempt)) {
      told.broken.push(`${operationId} has completed, but its attempt ${operation.attempt} never ran`);
    }
  }
  return lines.length;
}

/** Nothing is there under a second name: what was created is what is counted. */
export async function checkCount(load: Load, told: Told): Promise<void> {
  const answer = await load.call("CountOperations", (client) => client.countOperations({}));
  if (answer && answer.total !== BigInt(told.ids.length)) {
    told.broken.push(`${told.ids.length} operations were created and ${answer.total} are there`);
  }
}
