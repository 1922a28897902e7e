import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { deadlineMs, operationIn } from "../support/operation-when.ts";
import { startScriptedHost } from "../support/scripted-host.ts";
import { startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import type { OperationsClient } from "../support/test-client.ts";
import { startTestServer } from "../support/test-server.ts";
import { threadedOperation } from "../support/threaded-operation.ts";

const { PENDING, RUNNING, COMPLETED, CANCELLED } = OperationStatus;

async function createWork(client: OperationsClient) {
  const { operation } = await client.createOperation({ operationType: "work" });
  return operation?.operationId ?? "";
}

describe("a cancellation through a gateway", { timeout: 30_000 }, () => {
  test("cancel through the gateway reaches the host's worker thread and only then shows CANCELLED", async () => {
    const host = await startServerProcess(await temporaryDirectory());
    const { client } = await startTestServer({ settings: { routes: { threaded: host.url } } });
    const work = await threadedOperation(client);

    const { operation } = await client.cancelOperation({ operationId: work.operationId, reason: "wrong data" });
    expect(operation).toMatchObject({ status: RUNNING, cancellation: { reason: "wrong data" } });
    const seen = await work.seenByThread();
    expect(seen.reason).toBe("wrong data");
    expect(seen.threadId).toBeGreaterThan(0);
    const { operation: stopping } = await client.getOperation({ operationId: work.operationId, maxStaleness: {} });
    expect(stopping).toMatchObject({ status: RUNNING, cancellation: { deliveredAt: expect.anything() } });
    expect(stopping?.cancellation?.acknowledgedAt).toBeUndefined();

    work.write("release");
    const ended = await operationIn(client, work.operationId, CANCELLED);
    expect(ended.cancellation).toMatchObject({
      reason: "wrong data",
      forced: false,
      deliveredAt: expect.anything(),
      acknowledgedAt: expect.anything(),
    });
  });

  test("a cancel while the host is unreachable stays requested and is delivered when it returns", async () => {
    const host = await startServerProcess(await temporaryDirectory());
    const { client } = await startTestServer({ settings: { routes: { threaded: host.url } } });
    const work = await threadedOperation(client);
    host.kill("SIGSTOP");

    const { operation } = await client.cancelOperation({ operationId: work.operationId, reason: "too slow" });
    expect(operation).toMatchObject({ status: RUNNING, cancellation: { reason: "too slow" } });
    expect(operation?.cancellation?.deliveredAt).toBeUndefined();
    const { operation: later } = await client.getOperation({ operationId: work.operationId, maxStaleness: {} });
    expect(later).toMatchObject({ status: RUNNING, freshness: { stale: true } });
    expect(later?.cancellation?.deliveredAt).toBeUndefined();
    expect(work.hasSeen()).toBe(false);

    host.kill("SIGCONT");
    expect(await work.seenByThread()).toMatchObject({ reason: "too slow" });
    work.write("release");
    const ended = await operationIn(client, work.operationId, CANCELLED);
    expect(ended.cancellation?.requestedAt).toEqual(operation?.cancellation?.requestedAt);
    expect(ended.cancellation).toMatchObject({ deliveredAt: expect.anything(), acknowledgedAt: expect.anything() });
  });

  test("a cancel that is lost on the way is sent again until the host has it", async () => {
    let cancelled = false;
    let failures = 2;
    const host = await startScriptedHost({
      createOperation: ({ operationId }) => ({ operation: { operationId, status: RUNNING } }),
      getOperation: ({ operationId }) => ({ operation: { operationId, status: cancelled ? CANCELLED : RUNNING } }),
      cancelOperation: ({ operationId }) => {
        if (failures-- > 0) {
          throw new ConnectError("lost", Code.Unavailable);
        }
        cancelled = true;
        return { operation: { operationId, status: CANCELLED } };
      },
    });
    const { client } = await startTestServer({ settings: { routes: { work: host.url } } });
    const operationId = await createWork(client);
    await operationIn(client, operationId, RUNNING);

    const { operation } = await client.cancelOperation({ operationId, reason: "enough" });
    expect(operation).toMatchObject({ status: RUNNING, cancellation: { reason: "enough" } });
    expect(operation?.cancellation?.deliveredAt).toBeUndefined();
    const ended = await operationIn(client, operationId, CANCELLED);
    expect(ended.cancellation).toMatchObject({ deliveredAt: expect.anything(), acknowledgedAt: expect.anything() });
    expect(host.calls("CancelOperation")).toBe(3);
  });

  test("a cancel outlives the gateway that accepted it and is delivered by the next one", async () => {
    const host = await startServerProcess(await temporaryDirectory());
    const dataDir = await temporaryDirectory();
    const settings = { routes: { threaded: host.url } };
    const first = await startTestServer({ settings, dataDir });
    const work = await threadedOperation(first.client);
    host.kill("SIGSTOP");
    await first.client.cancelOperation({ operationId: work.operationId, reason: "too slow" });
    await first.stop();
    host.kill("SIGCONT");

    const second = await startTestServer({ settings, dataDir });
    expect(await work.seenByThread()).toMatchObject({ reason: "too slow" });
    work.write("release");
    await operationIn(second.client, work.operationId, CANCELLED);
  });

  test("work that completes first stays COMPLETED", async () => {
    const host = await startServerProcess(await temporaryDirectory());
    const { client } = await startTestServer({ settings: { routes: { threaded: host.url } } });
    const work = await threadedOperation(client, { ignoresToken: true });

    const { operation } = await client.cancelOperation({ operationId: work.operationId, reason: "too late" });
    expect(operation?.status).toBe(RUNNING);
    work.write("finish");
    const ended = await operationIn(client, work.operationId, COMPLETED);
    expect(ended).toMatchObject({ resultSummary: { finished: true }, progress: { percentage: 100 } });
    expect(ended.cancellation?.acknowledgedAt).toBeUndefined();

    const { operation: again } = await client.cancelOperation({ operationId: work.operationId, reason: "again" });
    expect(again).toEqual(ended);
  });

  test("force settles the record at once and cuts off the host's worker thread", async () => {
    const host = await startServerProcess(await temporaryDirectory());
    const { client } = await startTestServer({ settings: { routes: { threaded: host.url } } });
    const work = await threadedOperation(client, { ignoresToken: true });

    const { operation } = await client.cancelOperation({ operationId: work.operationId, reason: "now", force: true });
    expect(operation).toMatchObject({ status: CANCELLED, cancellation: { forced: true } });
    const atHost = await operationIn(host.client, work.operationId, CANCELLED);
    expect(atHost.cancellation).toMatchObject({ reason: "now", forced: true });
  });
});

describe("a cancellation while the host may have received the operation, but has not answered", {
  timeout: 30_000,
}, () => {
  /** A gateway with an operation that its host begins, without answering before it is let. */
  async function unansweredOperation() {
    const answer = Promise.withResolvers<void>();
    const cancels: { reason: string; force: boolean }[] = [];
    const host = await startScriptedHost({
      createOperation: async ({ operationId }) => {
        await answer.promise;
        return { operation: { operationId, status: RUNNING } };
      },
      getOperation: ({ operationId }) => {
        return { operation: { operationId, status: cancels.length > 0 ? CANCELLED : RUNNING } };
      },
      cancelOperation: ({ operationId, reason, force }) => {
        cancels.push({ reason, force });
        return { operation: { operationId, status: CANCELLED } };
      },
    });
    const settings = { routes: { work: host.url }, pullTimeoutMs: 300 };
    const { client } = await startTestServer({ settings });
    const operationId = await createWork(client);
    await expect.poll(() => host.calls("CreateOperation"), { timeout: deadlineMs }).toBeGreaterThan(0);
    return { client, cancels, operationId, letAnswer: () => answer.resolve() };
  }

  test("is kept, delivered once the host has answered, and only then shows CANCELLED", async () => {
    const { client, cancels, operationId, letAnswer } = await unansweredOperation();

    const { operation } = await client.cancelOperation({ operationId, reason: "changed my mind" });
    expect(operation).toMatchObject({ status: PENDING, cancellation: { reason: "changed my mind" } });
    letAnswer();
    const ended = await operationIn(client, operationId, CANCELLED);
    expect(ended.cancellation).toMatchObject({ reason: "changed my mind", forced: false });
    expect(cancels).toEqual([{ reason: "changed my mind", force: false }]);
  });

  test("by force settles the record at once, and the host's work is cut off once it has answered", async () => {
    const { client, cancels, operationId, letAnswer } = await unansweredOperation();

    const { operation } = await client.cancelOperation({ operationId, reason: "at once", force: true });
    expect(operation).toMatchObject({ status: CANCELLED, cancellation: { forced: true } });
    letAnswer();
    await expect.poll(() => cancels, { timeout: deadlineMs }).toEqual([{ reason: "at once", force: true }]);
  });
});
