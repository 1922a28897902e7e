import { create } from "@bufbuild/protobuf";
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { OperationInfoSchema, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { callerRuns } from "../../src/operations/caller-runs.ts";
import { operationIn } from "../support/operation-when.ts";
import { startScriptedHost } from "../support/scripted-host.ts";
import { startTestServer } from "../support/test-server.ts";

const { RUNNING } = OperationStatus;
const cacheTtlMs = 1_000;
const minute = 60_000;
const settings = { cacheTtlMs, sweepIntervalMs: 3_600_000 };

/** A server with a clock that stands still, and operations that the test itself runs. */
async function startServer() {
  const clock = { nowMs: Date.now() };
  const server = await startTestServer({ settings, now: () => clock.nowMs });
  const { operations } = server;
  const begin = async () => {
    const { operationId } = await operations.createOperation({ operationType: "work" }, { executor: callerRuns });
    await operations.startOperation(operationId);
    return operationId;
  };
  return { ...server, clock, begin };
}

function millisecondsOf(pollAfter: Duration | undefined): number {
  if (!pollAfter) {
    throw new Error("the answer advises nothing");
  }
  return durationMs(pollAfter);
}

/** Expects advice between two times in milliseconds, with room above for what is random and for a busy machine. */
function expectBetween(pollAfter: Duration | undefined, fromMs: number, toMs: number): void {
  const ms = millisecondsOf(pollAfter);
  expect(ms).toBeGreaterThanOrEqual(fromMs);
  expect(ms).toBeLessThanOrEqual(toMs);
}

/** The most that load and chance make of advice, before the longest. */
const stretched = 4 * 1.25;

describe("poll_after", { timeout: 30_000 }, () => {
  test("follows how often the operation changes", async () => {
    const { client, operations, clock, begin } = await startServer();
    const operationId = await begin();
    expectBetween((await client.getOperation({ operationId })).pollAfter, cacheTtlMs, cacheTtlMs * stretched);

    clock.nowMs += minute;
    expectBetween((await client.getOperation({ operationId })).pollAfter, 8_000, 10_000);
    expectBetween((await client.getMetrics({ operationId })).pollAfter, 8_000, 10_000);

    for (let percentage = 1; percentage <= 20; percentage++) {
      operations.updateProgress(operationId, { percentage });
      clock.nowMs += cacheTtlMs + 1;
      await client.getOperation({ operationId });
    }
    expectBetween((await client.getOperation({ operationId })).pollAfter, cacheTtlMs, cacheTtlMs * stretched);
  });

  test("of a batch is the earliest of its operations", async () => {
    const { client, operations, clock, begin } = await startServer();
    const quiet = await begin();
    await client.getOperation({ operationId: quiet });
    clock.nowMs += minute;
    const young = await begin();
    const ended = await begin();
    await operations.completeOperation(ended);
    const pollAfter = async (...operationIds: string[]) => {
      const asked = operationIds.map((operationId) => ({ operationId }));
      return (await client.batchGetOperations({ operations: asked })).pollAfter;
    };

    expectBetween(await pollAfter(quiet, ended), 8_000, 10_000);
    expectBetween(await pollAfter(quiet, young, ended), cacheTtlMs, cacheTtlMs * stretched);
    expect(await pollAfter(ended)).toBeUndefined();
  });

  test("after a wait is the shortest, and at the end there is none", async () => {
    const { client, operations, clock, begin } = await startServer();
    const operationId = await begin();
    const { revision: knownRevision } = await operations.getOperation(operationId);
    clock.nowMs += minute;
    const waited = await client.waitOperation({ operationId, knownRevision, timeout: { nanos: 50_000_000 } });
    expect(waited.notModified).toBe(true);
    expectBetween(waited.pollAfter, 250, 250 * stretched);

    await operations.failOperation(operationId, "the disk is full");
    expect((await client.getOperation({ operationId })).pollAfter).toBeUndefined();
    expect((await client.waitOperation({ operationId })).pollAfter).toBeUndefined();
    expect((await client.getMetrics({ operationId })).pollAfter).toBeUndefined();
  });

  test("is put off while a host is away", async () => {
    let isAway = false;
    const host = await startScriptedHost({
      createOperation: ({ operationId }) => ({ operation: { operationId, status: RUNNING } }),
      getOperation: ({ operationId }) => {
        if (isAway) {
          throw new ConnectError("the disk is full", Code.Internal);
        }
        return { operation: create(OperationInfoSchema, { operationId, status: RUNNING, revision: 1n }) };
      },
    });
    const clock = { nowMs: Date.now() };
    const { client } = await startTestServer({
      settings: { ...settings, routes: { remote: host.url } },
      now: () => clock.nowMs,
    });
    const created = await client.createOperation({ operationType: "remote" });
    expectBetween(created.pollAfter, cacheTtlMs, cacheTtlMs * stretched);
    const operationId = created.operation?.operationId ?? "";
    await operationIn(client, operationId, RUNNING);

    isAway = true;
    const advised: number[] = [];
    for (let poll = 0; poll < 10; poll++) {
      clock.nowMs += advised.at(-1) ?? cacheTtlMs + 1;
      const { pollAfter, freshness } = await client.getOperation({ operationId });
      expect(freshness?.stale).toBe(true);
      advised.push(millisecondsOf(pollAfter));
    }
    expect(advised[0]).toBeLessThanOrEqual(cacheTtlMs * stretched);
    expect(advised.at(-1)).toBeGreaterThanOrEqual(8_000);
    expect(advised.at(-1)).toBeLessThanOrEqual(10_000);
  });
});
