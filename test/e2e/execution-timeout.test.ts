import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { startForeignHost } from "../support/foreign-host.ts";
import { operationIn } from "../support/operation-when.ts";
import { startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import type { OperationsClient } from "../support/test-client.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";
import { threadedOperation } from "../support/threaded-operation.ts";

const { RUNNING, FAILED, CANCELLED } = OperationStatus;
const timedOut = { reason: "EXECUTION_TIMEOUT", code: 4, message: "the execution_timeout of 0.3 s has passed" };

async function createLimited(client: OperationsClient, operationType: string, parameters: object) {
  const { operation } = await client.createOperation({
    operationType,
    executionTimeout: durationFromMs(300),
    metadata: { parameters: { ...parameters } },
  });
  return operation?.operationId ?? "";
}

describe("work that runs longer than its execution_timeout", { timeout: 60_000 }, () => {
  test("is cancelled and has FAILED by it", async () => {
    const { client } = await startTestServer({ orchestrators: [new TestServices()] });
    const operationId = await createLimited(client, "training", { hold: true });
    expect(await operationIn(client, operationId, FAILED)).toMatchObject({ error: timedOut });
  });

  test("and ignores its token is terminated after the grace", async () => {
    const settings = { cancellationGraceMs: 200 };
    const { client } = await startTestServer({ orchestrators: [new TestServices()], settings });
    const directory = await temporaryDirectory();
    const operationId = await createLimited(client, "threaded", { directory, ignoresToken: true });
    expect(await operationIn(client, operationId, FAILED)).toMatchObject({ error: timedOut });
  });

  test("on a host has FAILED at the gateway, too", async () => {
    const host = await startServerProcess(await temporaryDirectory());
    const { client } = await startTestServer({ settings: { routes: { training: host.url } } });
    const operationId = await createLimited(client, "training", { hold: true });
    expect(await operationIn(client, operationId, FAILED)).toMatchObject({ error: timedOut });
    expect(await operationIn(host.client, operationId, FAILED)).toMatchObject({ error: timedOut });
  });

  test("on a host that knows no timeouts is cancelled by the gateway", async () => {
    const host = await startForeignHost();
    const { client } = await startTestServer({ settings: { routes: { training: host.url } } });
    const operationId = await createLimited(client, "training", {});
    expect(await operationIn(client, operationId, FAILED)).toMatchObject({ error: timedOut });
    expect(host.calls("CancelOperation")).toBeGreaterThan(0);
  });

  test("is still timed out after its server was killed and started again", async () => {
    const host = await startServerProcess(await temporaryDirectory());
    const dataDir = await temporaryDirectory();
    const settings = { routes: { training: host.url } };
    const first = await startServerProcess(dataDir, settings);
    const { operation } = await first.client.createOperation({
      operationType: "training",
      executionTimeout: durationFromMs(3_000),
      metadata: { parameters: { hold: true } },
    });
    const operationId = operation?.operationId ?? "";
    await operationIn(first.client, operationId, RUNNING);
    first.kill("SIGKILL");
    await first.exited;
    const { client } = await startServerProcess(dataDir, settings);
    expect(await operationIn(client, operationId, FAILED)).toMatchObject({ error: { reason: "EXECUTION_TIMEOUT" } });
  });
});

test("a worker thread that ignores its cancellation is terminated after the grace, and forced says so", async () => {
  const settings = { cancellationGraceMs: 200 };
  const { client } = await startTestServer({ orchestrators: [new TestServices()], settings });
  const { operationId } = await threadedOperation(client, { ignoresToken: true });
  const { operation } = await client.cancelOperation({ operationId, reason: "enough" });
  expect(operation).toMatchObject({ status: RUNNING, cancellation: { forced: false } });
  const ended = await operationIn(client, operationId, CANCELLED);
  expect(ended.cancellation).toMatchObject({ reason: "enough", forced: true, deliveredAt: expect.anything() });
  expect(ended.cancellation?.acknowledgedAt).toBeUndefined();
}, 60_000);
