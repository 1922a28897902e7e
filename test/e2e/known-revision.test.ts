import { timestampMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { callerRuns } from "../../src/operations/caller-runs.ts";
import type { OperationsService } from "../../src/operations/operations-service.ts";
import { startTestServer } from "../support/test-server.ts";

async function startedOperation(operations: OperationsService): Promise<{ operationId: string; revision: bigint }> {
  const { operationId } = await operations.createOperation({ operationType: "work" }, { executor: callerRuns });
  await operations.startOperation(operationId);
  return operations.getOperation(operationId);
}

test("Get and BatchGet leave out what the caller has and say how old it is", async () => {
  const { client, operations } = await startTestServer();
  const { operationId, revision: knownRevision } = await startedOperation(operations);
  const fresh = { stale: false, observedAt: expect.anything() };
  expect(await client.getOperation({ operationId })).toMatchObject({ notModified: false, operation: { operationId } });
  const known = await client.getOperation({ operationId, knownRevision });
  expect(known).toMatchObject({ notModified: true, freshness: fresh });
  expect(known.operation).toBeUndefined();

  const other = await startedOperation(operations);
  const batch = await client.batchGetOperations({
    operations: [{ operationId, knownRevision }, { operationId: other.operationId }],
  });
  expect(batch.operations).toMatchObject([{ operationId: other.operationId, freshness: fresh }]);
  const nothing = await client.batchGetOperations({ operations: [{ operationId, knownRevision }], maxStaleness: {} });
  expect(nothing.operations).toEqual([]);
  expect(nothing.observedAt && timestampMs(nothing.observedAt)).toBeGreaterThanOrEqual(
    known.freshness?.observedAt ? timestampMs(known.freshness.observedAt) : Number.NaN,
  );

  await operations.completeOperation(operationId);
  const { revision } = await operations.getOperation(operationId);
  const ended = await client.batchGetOperations({ operations: [{ operationId, knownRevision: revision }] });
  expect(ended).toMatchObject({ operations: [], notFound: [] });
  expect(ended.observedAt).toBeUndefined();
  expect(ended.pollAfter).toBeUndefined();
});
