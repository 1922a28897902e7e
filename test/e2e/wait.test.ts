import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { OperationInfoSchema, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { callerRuns } from "../../src/operations/caller-runs.ts";
import { deadlineMs, operationIn } from "../support/operation-when.ts";
import { startScriptedHost } from "../support/scripted-host.ts";
import { connectTestClient } from "../support/test-client.ts";
import type { TestSettings } from "../support/test-config.ts";
import { startTestServer } from "../support/test-server.ts";

const { PENDING, RUNNING, COMPLETED } = OperationStatus;

/** A server with an operation that has begun and that the test itself runs. */
async function runningOperation(settings: TestSettings = {}) {
  const { client, operations } = await startTestServer({ settings });
  const { operationId } = await operations.createOperation({ operationType: "work" }, { executor: callerRuns });
  await operations.startOperation(operationId);
  const { revision } = await operations.getOperation(operationId);
  return { client, operations, operationId, revision };
}

describe("WaitOperation", { timeout: 30_000 }, () => {
  test("answers when the revision moves", async () => {
    const { client, operations, operationId, revision } = await runningOperation();
    const waiting = client.waitOperation({ operationId, knownRevision: revision });
    operations.updateProgress(operationId, { percentage: 40, currentStep: "half way" });

    const { operation, notModified, pollAfter } = await waiting;
    expect(notModified).toBe(false);
    expect(operation).toMatchObject({ status: RUNNING, progress: { percentage: 40, currentStep: "half way" } });
    expect(operation?.revision).toBeGreaterThan(revision);
    expect(pollAfter).toBeDefined();
  });

  test("answers at once when the caller's revision is an old one", async () => {
    const { client, operationId, revision } = await runningOperation();

    const { operation } = await client.waitOperation({ operationId, knownRevision: revision - 1n });
    expect(operation?.revision).toBe(revision);
  });

  test("answers what has changed before the wait since the operation was last read", async () => {
    const { client, operations, operationId, revision } = await runningOperation({
      cacheTtlMs: 60_000,
      sweepIntervalMs: 3_600_000,
    });
    operations.updateProgress(operationId, { percentage: 40 });

    const timeout = durationFromMs(10_000);
    const { operation } = await client.waitOperation({ operationId, knownRevision: revision, timeout });
    expect(operation?.progress?.percentage).toBe(40);
  });

  test("with until_done it sleeps through changes and answers the end", async () => {
    const { client, operations, operationId, revision } = await runningOperation();
    const waiting = client.waitOperation({ operationId, knownRevision: revision, untilDone: true });
    let moved = revision;
    for (const percentage of [20, 60]) {
      operations.updateProgress(operationId, { percentage });
      const { operation } = await client.waitOperation({ operationId, knownRevision: moved });
      moved = operation?.revision ?? 0n;
      expect(operation?.progress?.percentage).toBe(percentage);
    }
    await operations.completeOperation(operationId, { answer: 42 });

    const { operation, pollAfter } = await waiting;
    expect(operation).toMatchObject({ status: COMPLETED, resultSummary: { answer: 42 } });
    expect(pollAfter).toBeUndefined();
    const again = await client.waitOperation({ operationId, knownRevision: operation?.revision ?? 0n });
    expect(again.notModified).toBe(true);
  });

  test("answers not_modified at the timeout", async () => {
    const { client, operationId, revision } = await runningOperation();

    const answer = await client.waitOperation({ operationId, knownRevision: revision, timeout: durationFromMs(50) });
    expect(answer.notModified).toBe(true);
    expect(answer.operation).toBeUndefined();
    expect(answer.freshness?.stale).toBe(false);
    expect(answer.pollAfter).toBeDefined();
  });

  test("answers before the caller's deadline when that is earlier than the timeout", async () => {
    const { client, operationId, revision } = await runningOperation();
    const request = { operationId, knownRevision: revision, timeout: durationFromMs(30_000) };

    const answer = await client.waitOperation(request, { timeoutMs: 4_000 });
    expect(answer.notModified).toBe(true);
  });

  test("answers when the server stops", async () => {
    const { client, operations, stop } = await startTestServer();
    const { operationId, revision } = await operations.createOperation(
      { operationType: "work" },
      { executor: callerRuns },
    );
    const waiting = client.waitOperation({ operationId, knownRevision: revision });
    // Answered after the wait on the same connection has begun.
    await client.getOperation({ operationId });

    await stop();
    expect(await waiting).toMatchObject({ notModified: true });
  });

  test("refuses an unknown operation and a negative timeout by name", async () => {
    const { client, operationId } = await runningOperation();

    await expect(client.waitOperation({ operationId: "op_work_unknown" })).rejects.toMatchObject({
      code: Code.NotFound,
    });
    await expect(client.waitOperation({ operationId, timeout: durationFromMs(-1) })).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: expect.stringContaining("timeout"),
    });
  });
});

const connections = 4;
const waitersPerConnection = 50;

/**
 * A gateway whose clock stands still, in front of a host that runs one operation at `state.percentage`, with several
 * clients of the gateway.
 */
async function remoteOperation(methods: Partial<ServiceImpl<typeof OperationsService>> = {}) {
  const state = { percentage: 10 };
  const running = (operationId: string) =>
    create(OperationInfoSchema, {
      operationId,
      status: RUNNING,
      progress: { percentage: state.percentage },
      revision: BigInt(state.percentage),
    });
  const host = await startScriptedHost({
    createOperation: ({ operationId }) => ({ operation: { operationId, status: PENDING } }),
    getOperation: ({ operationId }) => ({ operation: running(operationId) }),
    ...methods,
  });
  const nowMs = Date.now();
  const settings = { routes: { remote: host.url }, cacheTtlMs: 1_000, sweepIntervalMs: 3_600_000 };
  const { client, url } = await startTestServer({ settings, now: () => nowMs });
  const { operation } = await client.createOperation({ operationType: "remote" });
  const operationId = operation?.operationId ?? "";
  const { revision: knownRevision } = await operationIn(client, operationId, RUNNING);
  const clients = Array.from({ length: connections }, () => connectTestClient(url));
  return { state, host, operationId, clients, knownRevision };
}

describe("200 waiters on one remote operation", { timeout: 30_000 }, () => {
  test("cost one upstream loop", async () => {
    const change = Promise.withResolvers<void>();
    const { state, host, operationId, clients, knownRevision } = await remoteOperation({
      waitOperation: async ({ operationId }) => {
        await change.promise;
        return { operation: { operationId, status: RUNNING } };
      },
    });
    const getsBefore = host.calls("GetOperation");
    const waiting = clients.flatMap((client) =>
      Array.from({ length: waitersPerConnection }, () => client.waitOperation({ operationId, knownRevision })),
    );
    await Promise.all(clients.map((client) => client.getOperation({ operationId })));
    await expect.poll(() => host.calls("WaitOperation"), { timeout: deadlineMs }).toBe(1);
    state.percentage = 20;
    change.resolve();

    const answers = await Promise.all(waiting);
    expect(answers.map(({ operation }) => operation?.progress?.percentage)).toEqual(answers.map(() => 20));
    expect(answers).toHaveLength(connections * waitersPerConnection);
    expect(host.calls("WaitOperation")).toBe(1);
    expect(host.calls("GetOperation") - getsBefore).toBe(1);
  });

  test("cost one loop of Gets where the host does not serve WaitOperation", async () => {
    const { state, host, operationId, clients, knownRevision } = await remoteOperation();
    const getsBefore = host.calls("GetOperation");
    const waiting = clients.flatMap((client) =>
      Array.from({ length: waitersPerConnection }, () => client.waitOperation({ operationId, knownRevision })),
    );
    await expect.poll(() => host.calls("GetOperation") - getsBefore, { timeout: deadlineMs }).toBe(1);
    state.percentage = 20;

    const answers = await Promise.all(waiting);
    expect(answers.map(({ operation }) => operation?.progress?.percentage)).toEqual(answers.map(() => 20));
    expect(host.calls("GetOperation") - getsBefore).toBe(2);
  });

  test("that have all left end the host's wait", async () => {
    const ended = Promise.withResolvers<void>();
    const { host, operationId, clients, knownRevision } = await remoteOperation({
      waitOperation: async ({ operationId }, { signal }) => {
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        ended.resolve();
        return { operation: { operationId } };
      },
    });
    const leave = new AbortController();
    const waiting = clients.map((client) =>
      client.waitOperation({ operationId, knownRevision }, { signal: leave.signal }),
    );
    await expect.poll(() => host.calls("WaitOperation"), { timeout: deadlineMs }).toBe(1);

    leave.abort();
    const left = await Promise.allSettled(waiting);
    expect(left.map(({ status }) => status)).toEqual(left.map(() => "rejected"));
    await ended.promise;
  });
});
