import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { OperationDefinition, OperationFunc } from "../../src/orchestrator/operation-context.ts";
import { ServiceOrchestrator } from "../../src/orchestrator/service-orchestrator.ts";
import { operationIn } from "../support/operation-when.ts";
import type { OperationsClient } from "../support/test-client.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";
import { threadedOperation } from "../support/threaded-operation.ts";

const { RUNNING, COMPLETED, CANCELLED } = OperationStatus;

/** Runs operations of the type "work", `maxConcurrentOperations` at a time; a function is work of this process. */
class Work extends ServiceOrchestrator {
  override readonly maxConcurrentOperations: number;
  override readonly operations: Record<string, OperationDefinition>;

  constructor(maxConcurrentOperations: number, work: OperationFunc | URL) {
    super();
    this.maxConcurrentOperations = maxConcurrentOperations;
    this.operations = { work: typeof work === "function" ? { operationFunc: work } : { workerModule: work } };
  }
}

async function createWork(client: OperationsClient, parentOperationId = "") {
  const { operation } = await client.createOperation({ operationType: "work", parentOperationId });
  return operation?.operationId ?? "";
}

describe("a cancellation in the process", { timeout: 30_000 }, () => {
  test("a late result never changes a terminal status", async () => {
    const release = Promise.withResolvers<void>();
    const work = new Work(1, async () => {
      await release.promise;
      return { late: true };
    });
    const { client } = await startTestServer({ orchestrators: [work] });
    const operationId = await createWork(client);
    await operationIn(client, operationId, RUNNING);

    const { operation } = await client.cancelOperation({ operationId, reason: "enough", force: true });
    expect(operation).toMatchObject({ status: CANCELLED, cancellation: { reason: "enough", forced: true } });
    release.resolve();

    // The next one has its turn only after the late result was handed in.
    await operationIn(client, await createWork(client), COMPLETED);
    const { operation: after } = await client.getOperation({ operationId, maxStaleness: {} });
    expect(after).toEqual(operation);
  });

  test("force terminates the worker thread, which makes room for the next operation", async () => {
    const work = new Work(1, new URL("../support/file-led-worker.ts", import.meta.url));
    const { client } = await startTestServer({ orchestrators: [work] });
    const { operationId } = await threadedOperation(client, { ignoresToken: true }, "work");

    const { operation } = await client.cancelOperation({ operationId, reason: "now", force: true });
    expect(operation).toMatchObject({ status: CANCELLED, cancellation: { forced: true } });
    const next = await threadedOperation(client, {}, "work");
    next.write("finish");
    await operationIn(client, next.operationId, COMPLETED);
  });

  test("children are cancelled first", async () => {
    const stopped: string[] = [];
    const work = new Work(10, async (operationId, { token }) => {
      await token.waitForCancellation();
      stopped.push(operationId);
      return undefined;
    });
    const { client } = await startTestServer({ orchestrators: [work] });
    const parent = await createWork(client);
    const child = await createWork(client, parent);
    const grandchild = await createWork(client, child);
    const stranger = await createWork(client);
    for (const operationId of [parent, child, grandchild, stranger]) {
      await operationIn(client, operationId, RUNNING);
    }

    await client.cancelOperation({ operationId: parent, reason: "all of it" });
    for (const operationId of [parent, child, grandchild]) {
      expect((await operationIn(client, operationId, CANCELLED)).cancellation?.reason).toBe("all of it");
    }
    expect(stopped).toEqual([grandchild, child, parent]);
    const { operation: other } = await client.getOperation({ operationId: stranger });
    expect(other?.status).toBe(RUNNING);
    expect(other?.cancellation).toBeUndefined();
  });

  test("PENDING is cancelled at once", async () => {
    const begun: string[] = [];
    const work = new Work(1, async (operationId, { token }) => {
      begun.push(operationId);
      await token.waitForCancellation();
      return undefined;
    });
    const { client } = await startTestServer({ orchestrators: [work] });
    const running = await createWork(client);
    const waiting = await createWork(client);
    await operationIn(client, running, RUNNING);

    const { operation } = await client.cancelOperation({ operationId: waiting, reason: "not needed" });
    expect(operation).toMatchObject({ status: CANCELLED, cancellation: { reason: "not needed", forced: false } });
    expect(operation?.startedAt).toBeUndefined();
    expect(operation?.cancellation?.deliveredAt).toBeUndefined();
    await client.cancelOperation({ operationId: running, reason: "done" });
    await operationIn(client, running, CANCELLED);
    expect(begun).toEqual([running]);
  });

  test("a worker thread that ignores its token is terminated after the grace and the operation says forced", async () => {
    const settings = { cancellationGraceMs: 100 };
    const { client } = await startTestServer({ orchestrators: [new TestServices()], settings });
    const work = await threadedOperation(client, { ignoresToken: true });

    const { operation } = await client.cancelOperation({ operationId: work.operationId, reason: "stop" });
    expect(operation?.status).toBe(RUNNING);
    const ended = await operationIn(client, work.operationId, CANCELLED);
    expect(ended.cancellation).toMatchObject({ reason: "stop", forced: true });
    expect(ended.cancellation?.acknowledgedAt).toBeUndefined();
  });
});
