import { setImmediate } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { OperationFilterSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { OperationStore } from "../../src/operations/operation-store.ts";
import { observed, ScriptedSource } from "../support/scripted-source.ts";
import { startTestRegistry, type TestRegistry } from "../support/test-registry.ts";

const { RUNNING, COMPLETED } = OperationStatus;
/** More than two batches. */
const many = 150;
const everything = create(OperationFilterSchema);

/** Starts operations whose sources answer with progress, and notes in which turn of the event loop each was asked. */
async function startMany(registry: TestRegistry, pulled: (source: ScriptedSource) => void): Promise<string[]> {
  const ids: string[] = [];
  for (let count = 0; count < many; count++) {
    const { operationId } = await registry.operations.createOperation({ operationType: "training" });
    const source = new ScriptedSource();
    source.answer = async () => {
      pulled(source);
      return observed({ status: RUNNING, progress: { percentage: 40 } });
    };
    await registry.operations.startOperation(operationId, () => source);
    ids.push(operationId);
  }
  return ids;
}

describe("a sweep over many operations", () => {
  test("asks and saves a part of them at a time, and everything else goes on in between", async () => {
    const registry = await startTestRegistry({ options: { sweepIntervalMs: 100 * 1_000 } });
    let turn = 0;
    let isOver = false;
    const pulls = new Map<number, number>();
    await startMany(registry, () => pulls.set(turn, (pulls.get(turn) ?? 0) + 1));
    pulls.clear();
    const turning = (async () => {
      while (!isOver) {
        await setImmediate();
        turn += 1;
      }
    })();

    await registry.operations.sweep();
    isOver = true;
    await turning;
    expect([...pulls.values()].reduce((sum, count) => sum + count, 0)).toBe(many);
    expect(Math.max(...pulls.values())).toBeLessThanOrEqual(64);
    const saved = await registry.store.list(everything, undefined, many);
    expect(saved.map(({ info }) => info.progress?.percentage)).toEqual(Array.from({ length: many }, () => 40));
  });

  test("that is under way when the registry closes ends, and what is known is saved", async () => {
    const registry = await startTestRegistry();
    const asked: ScriptedSource[] = [];
    const ids = await startMany(registry, (source) => asked.push(source));
    await registry.operations.getOperation(ids.at(-1) as string, 0);
    asked.length = 0;

    const sweeping = registry.operations.sweep();
    await registry.operations.close();
    await sweeping;
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.length).toBeLessThan(many);
    const [newest] = await registry.store.getMany([ids.at(-1) as string]);
    expect(newest?.info.progress?.percentage).toBe(40);
  });

  test("removes what has expired a part at a time", async () => {
    const removals: number[] = [];
    const registry = await startTestRegistry({
      options: { retentionMs: 1_000 },
      wrapStore: (store) =>
        new Proxy(store, {
          get(target, name: keyof OperationStore) {
            if (name === "expire") {
              return async (...args: Parameters<OperationStore["expire"]>) => {
                const expired = await target.expire(...args);
                removals.push(expired.length);
                return expired;
              };
            }
            const value = Reflect.get(target, name);
            return typeof value === "function" ? value.bind(target) : value;
          },
        }),
    });
    for (let count = 0; count < many; count++) {
      const { operationId } = await registry.operations.createOperation({ operationType: "training" });
      await registry.operations.startOperation(operationId);
      await registry.operations.completeOperation(operationId);
    }
    const completed = create(OperationFilterSchema, { statuses: [COMPLETED] });
    expect(await registry.store.count(completed)).toMatchObject([{ count: many }]);
    registry.clock.nowMs += 1_000;
    await registry.operations.sweep();
    expect(await registry.store.count(everything)).toEqual([]);
    expect(removals.reduce((sum, count) => sum + count, 0)).toBe(many);
    expect(Math.max(...removals)).toBeLessThanOrEqual(64);
  });
});
