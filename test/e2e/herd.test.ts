import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { OperationInfoSchema, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { deadlineMs } from "../support/operation-when.ts";
import { startScriptedHost } from "../support/scripted-host.ts";
import { startTestServer } from "../support/test-server.ts";

const callers = 500;
const cacheTtlMs = 1_000;

type GetOperation = NonNullable<ServiceImpl<typeof OperationsService>["getOperation"]>;

/** A gateway with a clock that stands still, in front of a host that answers as told, and one accepted operation. */
async function gatewayWithOperation(getOperation: GetOperation) {
  const clock = { nowMs: Date.now() };
  const host = await startScriptedHost({
    createOperation: ({ operationId }) => ({ operation: { operationId, status: OperationStatus.PENDING } }),
    getOperation,
  });
  const settings = { routes: { remote: host.url }, cacheTtlMs, sweepIntervalMs: 3_600_000 };
  const { client, operations } = await startTestServer({ settings, now: () => clock.nowMs });
  const { operation } = await client.createOperation({ operationType: "remote" });
  const operationId = operation?.operationId ?? "";
  // What follows the acceptance is over when the snapshot is younger than the clock's present.
  await expect.poll(() => host.calls("GetOperation"), { timeout: deadlineMs }).toBe(1);
  await client.getOperation({ operationId });
  clock.nowMs += cacheTtlMs + 1;
  return { client, operations, host, clock, operationId, callsBefore: host.calls() };
}

function running(operationId: string, percentage: number) {
  return create(OperationInfoSchema, {
    operationId,
    status: OperationStatus.RUNNING,
    progress: { percentage },
    revision: BigInt(percentage + 1),
  });
}

describe("a herd of callers", { timeout: 30_000 }, () => {
  test("500 concurrent Gets of one remote operation inside one TTL make exactly one call to the host", async () => {
    let percentage = 0;
    const { client, host, clock, operationId, callsBefore } = await gatewayWithOperation(({ operationId }) => {
      percentage += 10;
      return { operation: running(operationId, percentage) };
    });

    const answers = await Promise.all(Array.from({ length: callers }, () => client.getOperation({ operationId })));

    expect(host.calls() - callsBefore).toBe(1);
    expect(new Set(answers.map(({ operation }) => operation?.progress?.percentage))).toEqual(new Set([20]));
    clock.nowMs += cacheTtlMs + 1;
    await client.getOperation({ operationId });
    expect(host.calls() - callsBefore).toBe(2);
  });

  test("10,000 Gets make one call to the host per TTL, whatever revisions and ages beyond the TTL they name", async () => {
    let percentage = 0;
    const { operations, host, clock, operationId, callsBefore } = await gatewayWithOperation(({ operationId }) => {
      percentage += 10;
      return { operation: running(operationId, percentage) };
    });
    const { revision: first } = await operations.getOperation(operationId, cacheTtlMs * 2);
    let current = first;
    const ages = [undefined, cacheTtlMs, cacheTtlMs * 2];

    for (let ttl = 1; ttl <= 3; ttl++) {
      const revisions = [0n, first - 1n, first, current, current + 1n];
      const answers = await Promise.all(
        Array.from({ length: 10_000 }, (_, caller) =>
          operations.getOperation(operationId, ages[caller % ages.length], revisions[caller % revisions.length]),
        ),
      );
      expect(host.calls() - callsBefore).toBe(ttl);
      // Who allows twice the TTL may be answered by what was seen before.
      const seen = new Set(answers.map(({ progress }) => progress?.percentage));
      expect([...seen].every((percent) => percent === percentage || percent === percentage - 10)).toBe(true);
      current = answers.map(({ revision }) => revision).reduce((a, b) => (a > b ? a : b));
      clock.nowMs += cacheTtlMs + 1;
    }
  });

  test("10,000 Gets that allow no age make the call that is under way and one more", async () => {
    const { operations, host, operationId, callsBefore } = await gatewayWithOperation(({ operationId }) => ({
      operation: running(operationId, 10),
    }));

    await Promise.all(Array.from({ length: 10_000 }, () => operations.getOperation(operationId, 0)));

    expect(host.calls() - callsBefore).toBe(2);
  });

  test("one caller's abort fails nobody else", async () => {
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<void>();
    let held = false;
    const { client, operations, host, operationId, callsBefore } = await gatewayWithOperation(
      async ({ operationId }) => {
        if (held) {
          asked.resolve();
          await answer.promise;
        }
        return { operation: running(operationId, held ? 50 : 10) };
      },
    );
    held = true;
    const caller = new AbortController();
    const first = client.getOperation({ operationId }, { signal: caller.signal });
    await asked.promise;
    const impatient = client.getOperation({ operationId }, { timeoutMs: 50 });
    const others = Promise.all(Array.from({ length: 20 }, () => client.getOperation({ operationId })));
    const inProcess = operations.getOperation(operationId);

    caller.abort();
    await expect(first).rejects.toMatchObject({ code: Code.Canceled });
    await expect(impatient).rejects.toMatchObject({ code: Code.DeadlineExceeded });
    answer.resolve();

    for (const { operation } of await others) {
      expect(operation).toMatchObject({ progress: { percentage: 50 }, freshness: { stale: false } });
    }
    expect((await inProcess).progress?.percentage).toBe(50);
    expect(host.calls() - callsBefore).toBe(1);
  });

  test("a failing host is called once per TTL, too", async () => {
    let fails = false;
    const { client, host, clock, operationId, callsBefore } = await gatewayWithOperation(({ operationId }) => {
      if (fails) {
        throw new ConnectError("the disk is full", Code.Internal);
      }
      return { operation: running(operationId, 10) };
    });
    fails = true;

    for (let ttl = 1; ttl <= 3; ttl++) {
      const answers = await Promise.all(Array.from({ length: 100 }, () => client.getOperation({ operationId })));
      await client.getOperation({ operationId });

      expect(host.calls() - callsBefore).toBe(ttl);
      for (const { operation } of answers) {
        expect(operation).toMatchObject({ status: OperationStatus.RUNNING, freshness: { stale: true } });
        expect(operation?.freshness?.staleReason).toContain("the disk is full");
      }
      clock.nowMs += cacheTtlMs + 1;
    }
  });
});
