import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { startForeignHost } from "../support/foreign-host.ts";
import { deadlineMs, operationIn, operationWhen } from "../support/operation-when.ts";
import { startTestServer } from "../support/test-server.ts";

const { RUNNING, COMPLETED, CANCELLED } = OperationStatus;

/** A gateway in front of a foreign host, with operations that have begun there. */
async function gatewayWithOperations(count: number) {
  const host = await startForeignHost();
  const { client } = await startTestServer({ settings: { routes: { training: host.url } } });
  const ids: string[] = [];
  for (let index = 0; index < count; index++) {
    const { operation } = await client.createOperation({ operationType: "training", operationName: `run ${index}` });
    const operationId = operation?.operationId ?? "";
    await operationIn(client, operationId, RUNNING);
    ids.push(operationId);
  }
  return { host, client, ids, operationId: ids[0] ?? "" };
}

describe("a host that serves only the host profile, written on grpc-js from the protos", { timeout: 30_000 }, () => {
  test("Create and Get: the operation runs there under the gateway's id, and its end is seen with the last metrics", async () => {
    const { host, client, operationId } = await gatewayWithOperations(1);
    expect(host.begun(operationId)).toBe(1);

    host.train(operationId);
    const trained = await operationWhen(client, operationId, ({ progress }) => progress?.percentage === 10);
    expect(trained).toMatchObject({ host: host.url, progress: { currentStep: "epoch 1" } });
    host.train(operationId);
    host.complete(operationId);
    const ended = await operationIn(client, operationId, COMPLETED);
    expect(ended).toMatchObject({
      operationName: "run 0",
      resultSummary: { accuracy: 0.75 },
      progress: { percentage: 100 },
    });
    expect(ended.startedAt).toBeDefined();
    const { metrics } = await client.getMetrics({ operationId });
    expect(metrics?.metrics.value).toMatchObject({ epochs: [{ epoch: 1 }, { epoch: 2 }] });
  });

  test("BatchGet is made of single Gets", async () => {
    const { host, client, ids } = await gatewayWithOperations(3);
    for (const operationId of ids.slice(1)) {
      host.train(operationId);
    }
    const operations = ids.map((operationId) => ({ operationId }));

    const both = await client.batchGetOperations({
      operations: [...operations, { operationId: "op_training_20260101_000000_unknown" }],
      maxStaleness: {},
    });
    expect(both.operations.map(({ progress }) => progress?.percentage)).toEqual([0, 10, 10]);
    expect(both.operations.every(({ freshness }) => freshness?.stale === false)).toBe(true);
    expect(both.notFound).toEqual(["op_training_20260101_000000_unknown"]);
  });

  test("Wait answers at a change and at the end", async () => {
    const { host, client, operationId } = await gatewayWithOperations(1);
    const { operation: before } = await client.getOperation({ operationId });

    const change = client.waitOperation({ operationId, knownRevision: before?.revision ?? 0n });
    host.train(operationId);
    expect((await change).operation?.progress?.percentage).toBe(10);
    const end = client.waitOperation({ operationId, untilDone: true });
    host.complete(operationId);
    expect((await end).operation?.status).toBe(COMPLETED);
  });

  test("List and Count are answered by the gateway", async () => {
    const { host, client, ids } = await gatewayWithOperations(3);
    host.complete(ids[1] ?? "");
    await operationIn(client, ids[1] ?? "", COMPLETED);

    const { operations } = await client.listOperations({ filter: { statuses: [RUNNING] } });
    expect(operations.map(({ operationId }) => operationId).sort()).toEqual([ids[0], ids[2]].sort());
    const { total, byStatus, byType } = await client.countOperations({});
    expect(total).toBe(3n);
    expect(byType).toEqual({ training: 3n });
    expect(byStatus).toMatchObject([
      { status: RUNNING, count: 2n },
      { status: COMPLETED, count: 1n },
    ]);
  });

  test("GetMetrics by cursor answers every record once, numbered by the gateway", async () => {
    const { host, client, operationId } = await gatewayWithOperations(1);
    const sequences: number[] = [];
    const epochs: number[] = [];
    let cursor = 0n;
    const read = async () => {
      const { metrics, newCursor } = await client.getMetrics({ operationId, cursor });
      expect(newCursor).toBeGreaterThanOrEqual(cursor);
      const training = metrics?.metrics.case === "training" ? metrics.metrics.value : undefined;
      for (const epoch of training?.epochs ?? []) {
        sequences.push(Number(epoch.sequence));
        epochs.push(epoch.epoch);
      }
      cursor = newCursor;
      return training?.trends;
    };
    for (const trained of [2, 1, 4]) {
      for (let epoch = 0; epoch < trained; epoch++) {
        host.train(operationId);
      }
      const goal = epochs.length + trained;
      await expect.poll(async () => (await read())?.epochCount, { timeout: deadlineMs }).toBe(BigInt(goal));
      expect(epochs).toHaveLength(goal);
    }
    host.train(operationId);
    host.complete(operationId);
    await operationIn(client, operationId, COMPLETED);
    const trends = await read();

    expect(epochs).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(sequences).toEqual(epochs);
    expect(trends).toMatchObject({ epochCount: 8n, bestEpoch: 8, bestValLoss: 0.25 });
    await read();
    expect(epochs).toHaveLength(8);
  });

  test("Cancel reaches it, and its CANCELLED counts as the acknowledgement", async () => {
    const { host, client, operationId } = await gatewayWithOperations(1);

    await client.cancelOperation({ operationId, reason: "overfitting" });
    const ended = await operationIn(client, operationId, CANCELLED);
    expect(ended.cancellation).toMatchObject({
      reason: "overfitting",
      forced: false,
      deliveredAt: expect.anything(),
      acknowledgedAt: expect.anything(),
    });
    expect(host.calls("CancelOperation")).toBe(1);
  });
});
