import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { operationIn } from "../support/operation-when.ts";
import type { OperationsClient } from "../support/test-client.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";

const hour = 3_600_000;

/** A server whose clock a test moves and which sweeps only when it is told to. */
async function serverWithClock() {
  const clock = { nowMs: Date.UTC(2026, 0, 20) };
  const settings = { sweepIntervalMs: 24 * hour, cacheTtlMs: 1 };
  const server = await startTestServer({ orchestrators: [new TestServices()], settings, now: () => clock.nowMs });
  return { ...server, clock };
}

/** What a Get of the operation says: "there", or the reason of its refusal. */
async function whereabouts(client: OperationsClient, operationId: string): Promise<string> {
  try {
    await client.getOperation({ operationId });
    return "there";
  } catch (error) {
    const failure = ConnectError.from(error);
    expect(failure.code).toBe(Code.NotFound);
    expect(failure.message).toContain(operationId);
    return failure.findDetails(ErrorInfoSchema)[0]?.reason ?? "no reason";
  }
}

async function ended(client: OperationsClient, parameters = {}, retentionMs?: number): Promise<string> {
  const { operation } = await client.createOperation({
    operationType: "training",
    labels: { team: "a" },
    metadata: { parameters },
    ...(retentionMs !== undefined && { retention: durationFromMs(retentionMs) }),
  });
  const operationId = operation?.operationId ?? "";
  await operationIn(client, operationId, "error" in parameters ? OperationStatus.FAILED : OperationStatus.COMPLETED);
  return operationId;
}

test("what ended 24 h ago is removed, and nothing else", async () => {
  const { client, operations, clock } = await serverWithClock();
  const { operation: runs } = await client.createOperation({
    operationType: "training",
    metadata: { parameters: { hold: true } },
  });
  const old = [await ended(client), await ended(client, { error: "no" })];
  clock.nowMs += 12 * hour;
  const younger = await ended(client);
  const own = { short: await ended(client, {}, hour), long: await ended(client, {}, 100 * hour) };

  clock.nowMs += 12 * hour - 1;
  await operations.sweep();
  for (const operationId of [...old, younger, own.long, runs?.operationId ?? ""]) {
    expect(await whereabouts(client, operationId)).toBe("there");
  }
  expect(await whereabouts(client, own.short)).toBe("OPERATION_EXPIRED");

  clock.nowMs += 1;
  await operations.sweep();
  for (const operationId of old) {
    expect(await whereabouts(client, operationId)).toBe("OPERATION_EXPIRED");
  }
  for (const operationId of [younger, own.long, runs?.operationId ?? ""]) {
    expect(await whereabouts(client, operationId)).toBe("there");
  }
  expect((await client.countOperations({})).total).toBe(3n);
  expect((await client.listOperations({ filter: { labels: { team: "a" } } })).operations).toHaveLength(2);
  await expect(client.getMetrics({ operationId: old[0] ?? "" })).rejects.toThrow(/after its retention/);

  clock.nowMs += 365 * 24 * hour;
  await operations.sweep();
  expect((await client.listOperations({})).operations.map(({ operationId }) => operationId)).toEqual([
    runs?.operationId,
  ]);
});

test("an expired operation and one that never was are told apart, as long as tombstones last", async () => {
  const { client, operations, clock } = await serverWithClock();
  const operationId = await ended(client);
  clock.nowMs += 25 * hour;
  await operations.sweep();
  expect(await whereabouts(client, operationId)).toBe("OPERATION_EXPIRED");
  expect(await whereabouts(client, "op_training_20260120_000000_never")).toBe("OPERATION_NOT_FOUND");
  const { notFound } = await client.batchGetOperations({ operations: [{ operationId }, { operationId: "op_never" }] });
  expect(notFound).toEqual([operationId, "op_never"]);
  clock.nowMs += 8 * 24 * hour;
  await operations.sweep();
  expect(await whereabouts(client, operationId)).toBe("OPERATION_NOT_FOUND");
});

test("a deleted operation leaves no tombstone", async () => {
  const { client } = await serverWithClock();
  const operationId = await ended(client);
  await client.deleteOperation({ operationId });
  expect(await whereabouts(client, operationId)).toBe("OPERATION_NOT_FOUND");
});

test("more than one chunk of expired operations goes in one sweep", async () => {
  const { client, operations, clock } = await serverWithClock();
  const created = await Promise.all(
    Array.from({ length: 600 }, () =>
      client.createOperation({ operationType: "training", metadata: { parameters: { records: 0 } } }),
    ),
  );
  expect(created).toHaveLength(600);
  await expect
    .poll(async () => (await client.countOperations({ filter: { statuses: [OperationStatus.COMPLETED] } })).total, {
      timeout: 15_000,
    })
    .toBe(600n);
  clock.nowMs += 24 * hour;
  await operations.sweep();
  expect((await client.countOperations({})).total).toBe(0n);
});

test("nobody has to ask: the beat removes what is due", async () => {
  const clock = { nowMs: Date.UTC(2026, 0, 20) };
  const { client } = await startTestServer({
    orchestrators: [new TestServices()],
    settings: { sweepIntervalMs: 20, cacheTtlMs: 1 },
    now: () => clock.nowMs,
  });
  await ended(client);
  clock.nowMs += 24 * hour;
  await expect.poll(async () => (await client.countOperations({})).total, { timeout: 15_000 }).toBe(0n);
});
