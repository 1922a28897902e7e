import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { freePort } from "../support/free-port.ts";
import { deadlineMs, operationIn, operationWhen } from "../support/operation-when.ts";
import { startScriptedHost } from "../support/scripted-host.ts";
import { startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import type { OperationsClient } from "../support/test-client.ts";
import { startTestServer } from "../support/test-server.ts";

const { PENDING, RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;

async function createTraining(client: OperationsClient, parameters = {}) {
  const { operation } = await client.createOperation({ operationType: "training", metadata: { parameters } });
  return operation?.operationId ?? "";
}

describe("giving operations to a host", { timeout: 60_000 }, () => {
  test("is finished by the next gateway when the first one died between storing and giving; the work runs once", async () => {
    const host = await startServerProcess(await temporaryDirectory());
    const dataDir = await temporaryDirectory();
    const settings = { routes: { training: host.url } };
    const ledger = join(await temporaryDirectory(), "ledger");
    const first = await startServerProcess(dataDir, settings);
    host.kill("SIGSTOP");
    const operationIds = await Promise.all(
      Array.from({ length: 10 }, () => createTraining(first.client, { ledger, delayMs: 5 })),
    );
    first.kill("SIGKILL");
    await first.exited;
    host.kill("SIGCONT");

    const { client } = await startServerProcess(dataDir, settings);
    for (const operationId of operationIds) {
      expect(await operationIn(client, operationId, COMPLETED)).toMatchObject({ attempt: 1, metricsCursor: 3n });
    }
    const runs = readFileSync(ledger, "utf8").trim().split("\n");
    expect(runs.sort()).toEqual(operationIds.map((operationId) => `${operationId} 1`).sort());
  });

  test("leaves a host alone that does not answer, however many operations are asked about", async () => {
    let answers = true;
    const host = await startScriptedHost({
      createOperation: ({ operationId }) => ({ operation: { operationId, status: RUNNING } }),
      getOperation: ({ operationId }) => {
        return answers ? { operation: { operationId, status: RUNNING } } : new Promise(() => {});
      },
    });
    const settings = { routes: { work: host.url }, pullTimeoutMs: 200, cacheTtlMs: 0, sweepIntervalMs: 3_600_000 };
    const backoff = { dispatchBackoffMs: 60_000, dispatchBackoffMaxMs: 60_000 };
    const { client } = await startTestServer({ settings: { ...settings, ...backoff } });
    const operationIds: string[] = [];
    for (let index = 0; index < 8; index++) {
      const { operation } = await client.createOperation({ operationType: "work" });
      operationIds.push(operation?.operationId ?? "");
    }
    for (const operationId of operationIds) {
      await operationIn(client, operationId, RUNNING);
    }
    answers = false;
    for (const operationId of operationIds) {
      const { operation } = await client.getOperation({ operationId });
      expect(operation).toMatchObject({ status: RUNNING, freshness: { stale: true } });
      expect(operation?.freshness?.staleReason).toContain(host.url);
    }
    const calls = host.calls();
    const repeated = await Promise.all(operationIds.map((operationId) => client.getOperation({ operationId })));
    expect(repeated.map(({ operation }) => operation?.freshness?.stale)).toEqual(operationIds.map(() => true));
    expect(host.calls()).toBe(calls);
  });

  test("tries a silent host again, and is back with all operations once it answers", async () => {
    let answers = true;
    const host = await startScriptedHost({
      createOperation: ({ operationId }) => ({ operation: { operationId, status: RUNNING } }),
      getOperation: ({ operationId }) => {
        if (!answers) {
          throw new ConnectError("overloaded", Code.Unavailable);
        }
        return { operation: { operationId, status: RUNNING } };
      },
    });
    const { client } = await startTestServer({ settings: { routes: { work: host.url }, cacheTtlMs: 1 } });
    const { operation } = await client.createOperation({ operationType: "work" });
    const operationId = operation?.operationId ?? "";
    await operationIn(client, operationId, RUNNING);
    answers = false;
    await operationWhen(client, operationId, ({ freshness }) => freshness?.stale === true);
    for (let call = 0; call < 20; call++) {
      await client.getOperation({ operationId, maxStaleness: {} });
    }
    answers = true;
    await operationWhen(client, operationId, ({ freshness }) => freshness?.stale === false);
  });

  test("ends with the host's reason when that refuses", async () => {
    const host = await startScriptedHost({
      createOperation: () => Promise.reject(new ConnectError("no GPU left", Code.FailedPrecondition)),
    });
    const { client } = await startTestServer({ settings: { routes: { training: host.url } } });
    const { error } = await operationIn(client, await createTraining(client), FAILED);
    expect(error).toMatchObject({ reason: "HOST_REFUSED", code: Code.FailedPrecondition });
    expect(error?.message).toContain("no GPU left");
  });
});

describe("a host that never answers", { timeout: 60_000 }, () => {
  /** A gateway whose host takes connections and calls, and answers none. */
  async function unanswered(settings: { hostLostAfterMs?: number } = {}, dataDir?: string) {
    const host = await startScriptedHost({ createOperation: () => new Promise(() => {}) });
    const all = { routes: { training: host.url }, pullTimeoutMs: 100, ...settings };
    const server = await startTestServer({ settings: all, ...(dataDir !== undefined && { dataDir }) });
    const operationId = await createTraining(server.client);
    await expect.poll(() => host.calls("CreateOperation"), { timeout: deadlineMs }).toBeGreaterThan(0);
    return { ...server, host, operationId };
  }

  test("leaves its operation PENDING, and that says why it waits", async () => {
    const { client, operationId, host } = await unanswered();
    const waiting = await operationWhen(client, operationId, ({ freshness }) => freshness?.stale === true);
    expect(waiting).toMatchObject({ status: PENDING, attempt: 1 });
    expect(waiting.freshness?.staleReason).toContain(host.url);
    await client.getOperation({ operationId, maxStaleness: {} });
    expect((await client.getOperation({ operationId })).operation?.status).toBe(PENDING);
  });

  test("has an operation that is to be cancelled given up after host_lost_after: CANCELLED, and it says forced", async () => {
    const { client, operationId, host } = await unanswered({ hostLostAfterMs: 500 });
    const { operation } = await client.cancelOperation({ operationId, reason: "changed my mind" });
    expect(operation).toMatchObject({ status: PENDING, cancellation: { reason: "changed my mind", forced: false } });
    const ended = await operationIn(client, operationId, CANCELLED);
    expect(ended.cancellation).toMatchObject({ reason: "changed my mind", forced: true });
    expect(ended.cancellation?.deliveredAt).toBeUndefined();
    // From now on it is not given to the host any more, but cut off there, should the host have it.
    const creates = host.calls("CreateOperation");
    await expect.poll(() => host.calls("CancelOperation"), { timeout: deadlineMs }).toBeGreaterThan(0);
    expect(host.calls("CreateOperation")).toBeLessThanOrEqual(creates + 1);
  });

  test("has its operation cancelled at once, cleanly, when it was never reached", async () => {
    const port = await freePort();
    const { client } = await startTestServer({ settings: { routes: { training: `http://127.0.0.1:${port}` } } });
    const operationId = await createTraining(client);
    await operationWhen(client, operationId, ({ freshness }) => freshness?.stale === true);
    const { operation } = await client.cancelOperation({ operationId, reason: "not needed" });
    expect(operation).toMatchObject({ status: CANCELLED, cancellation: { forced: false } });
  });
});

test("a forced cancel reaches the host although the gateway that accepted it died first", async () => {
  const host = await startServerProcess(await temporaryDirectory());
  const dataDir = await temporaryDirectory();
  const settings = { routes: { training: host.url } };
  const first = await startServerProcess(dataDir, settings);
  const operationId = await createTraining(first.client, { hold: true });
  await operationWhen(first.client, operationId, ({ progress }) => progress?.stepsCompleted === 3n);
  host.kill("SIGSTOP");
  const { operation } = await first.client.cancelOperation({ operationId, reason: "at once", force: true });
  expect(operation).toMatchObject({ status: CANCELLED, cancellation: { forced: true } });
  first.kill("SIGKILL");
  await first.exited;
  host.kill("SIGCONT");

  const second = await startServerProcess(dataDir, settings);
  const atHost = await operationIn(host.client, operationId, CANCELLED);
  expect(atHost.cancellation).toMatchObject({ reason: "at once", forced: true });
  expect((await second.client.getOperation({ operationId })).operation).toEqual(operation);
}, 60_000);
