import { setTimeout as sleep } from "node:timers/promises";
import { clone, equals } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { type OperationInfo, OperationInfoSchema, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { isTerminal } from "../../src/operations/life-cycle.ts";
import { anySeed, randomFrom } from "../support/random.ts";
import type { OperationsClient } from "../support/test-client.ts";
import { startTestReplicas } from "../support/test-replicas.ts";

const { PENDING, RUNNING, COMPLETED, CANCELLED } = OperationStatus;
const clients = 8;
const steps = 120;

/** One answered call. Times are of this process's clock, in milliseconds. */
interface Answer {
  readonly call: "create" | "get" | "cancel" | "list";
  readonly beganMs: number;
  readonly endedMs: number;
  readonly operation: OperationInfo;
}

/** The snapshot without what changes by itself. */
function content(operation: OperationInfo): OperationInfo {
  const { freshness: _, ...rest } = clone(OperationInfoSchema, operation);
  return rest as OperationInfo;
}

/** What is wrong with the answers of one operation, in words. */
function contradictions(answers: readonly Answer[]): string[] {
  const wrong: string[] = [];
  const byRevision = new Map<bigint, OperationInfo>();
  for (const { operation } of answers) {
    const same = byRevision.get(operation.revision);
    if (!same) {
      byRevision.set(operation.revision, operation);
    } else if (!equals(OperationInfoSchema, content(same), content(operation))) {
      wrong.push(`revision ${operation.revision} was two things`);
    }
  }
  const byEnd = [...answers].sort((a, b) => a.endedMs - b.endedMs);
  for (const later of answers) {
    // Of those that had ended before this one began, the greatest revision must not be greater.
    const before = byEnd.filter(({ endedMs }) => endedMs < later.beganMs);
    const newest = before.reduce((most, { operation }) => (operation.revision > most ? operation.revision : most), 0n);
    if (later.operation.revision < newest) {
      wrong.push(`a ${later.call} answered revision ${later.operation.revision} after ${newest}`);
    }
  }
  const ends = new Set(
    answers
      .filter(({ operation }) => isTerminal(operation.status))
      .map(({ operation }) => `${operation.status} ${operation.revision}`),
  );
  if (ends.size > 1) {
    wrong.push(`it ended as ${[...ends].join(" and as ")}`);
  }
  const last = byEnd.at(-1)?.operation;
  if (last?.status === COMPLETED && last.cancellation?.acknowledgedAt) {
    wrong.push("it has completed, and acknowledged its cancellation");
  }
  if (last?.status === CANCELLED && !last.cancellation) {
    wrong.push("it was cancelled, and nobody has asked for that");
  }
  const asked = answers.some(({ call }) => call === "cancel");
  if (last?.cancellation && !asked) {
    wrong.push("it tells of a cancellation that nobody has asked for");
  }
  return wrong;
}

test("8 clients that create, get and cancel over 3 replicas see one history of each operation", async () => {
  const seed = anySeed();
  process.stderr.write(`history.test.ts: seed ${seed}\n`);
  const { replicas } = await startTestReplicas(3, { pullTimeoutMs: 5_000, cacheTtlMs: 50 });
  const answers: Answer[] = [];
  const ids: string[] = [];

  async function record(call: Answer["call"], ask: () => Promise<OperationInfo[]>): Promise<void> {
    const beganMs = performance.now();
    const operations = await ask();
    const endedMs = performance.now();
    answers.push(...operations.map((operation) => ({ call, beganMs, endedMs, operation })));
  }
  const one = (operation: OperationInfo | undefined) => (operation ? [operation] : []);

  async function use(index: number): Promise<void> {
    const random = randomFrom(seed + index);
    for (let step = 0; step < steps; step++) {
      const { client } = replicas[Math.floor(random() * replicas.length)] as { client: OperationsClient };
      // The newest ones are where something happens.
      const operationId = ids[Math.max(0, ids.length - 1 - Math.floor(random() * 12))];
      const dice = random();
      if (dice < 0.15 || operationId === undefined) {
        const parameters = { records: 4, delayMs: Math.floor(random() * 60), hold: random() < 0.3 };
        await record("create", async () => {
          const { operation } = await client.createOperation({ operationType: "training", metadata: { parameters } });
          ids.push(operation?.operationId ?? "");
          return one(operation);
        });
      } else if (dice < 0.82) {
        // Sometimes with a source asked at once, sometimes with the revision known.
        const maxStaleness = random() < 0.2 ? { maxStaleness: {} } : {};
        await record("get", async () => one((await client.getOperation({ operationId, ...maxStaleness })).operation));
      } else if (dice < 0.94) {
        const force = random() < 0.1;
        await record("cancel", async () =>
          one((await client.cancelOperation({ operationId, reason: "chance", force })).operation),
        );
      } else {
        await record("list", async () => (await client.listOperations({ pageSize: 5 })).operations);
      }
      await sleep(random() * 10);
    }
  }

  await Promise.all(Array.from({ length: clients }, (_, index) => use(index)));
  const [first] = replicas;
  await first?.client.cancelOperations({ filter: { statuses: [PENDING, RUNNING] }, reason: "the end" });
  for (const operationId of ids) {
    await record("cancel", async () =>
      one((await first?.client.cancelOperation({ operationId, reason: "the end" }))?.operation),
    );
  }
  for (const operationId of ids) {
    await record("get", async () =>
      one((await first?.client.waitOperation({ operationId, untilDone: true }))?.operation),
    );
  }

  expect(answers.filter(({ operation }) => operation.freshness?.stale)).toEqual([]);
  const byOperation = Map.groupBy(answers, ({ operation }) => operation.operationId);
  const wrong = [...byOperation].flatMap(([operationId, all]) =>
    contradictions(all).map((what) => `${operationId}: ${what}`),
  );
  expect(wrong, `seed ${seed}`).toEqual([]);
  const ends = [...byOperation.values()].map((all) => all.at(-1)?.operation.status);
  expect(ends).toHaveLength(ids.length);
  expect(new Set(ends)).toEqual(new Set([COMPLETED, CANCELLED]));
}, 120_000);
