import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { buildFailingDisk, type DiskMode, type FailingDisk } from "../support/failing-disk.ts";
import { deadlineMs, operationIn, operationWhen } from "../support/operation-when.ts";
import { type ServerProcess, startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { threadedOperation } from "../support/threaded-operation.ts";

const { RUNNING, COMPLETED, FAILED } = OperationStatus;

let disk: FailingDisk | undefined;
let unavailable: string | undefined;

beforeAll(async () => {
  const built = await buildFailingDisk();
  if ("unavailable" in built) {
    unavailable = built.unavailable;
    process.stderr.write(`failing-disk.test.ts: not run, ${unavailable}\n`);
  } else {
    disk = built;
  }
});
afterAll(() => disk?.remove());

/** A server whose disk fails on command. */
async function onFailingDisk(skip: (reason: string) => never) {
  if (!disk) {
    return skip(unavailable ?? "");
  }
  const failing = disk;
  failing.setMode("healthy");
  const dataDir = await temporaryDirectory();
  const environment = failing.environmentFor(dataDir);
  const server = await startServerProcess(dataDir, { cacheTtlMs: 20 }, environment);
  return { server, dataDir, environment, setMode: (mode: DiskMode) => failing.setMode(mode) };
}

async function createTraining({ client }: ServerProcess, parameters: object, requestId = "") {
  const { operation } = await client.createOperation({
    operationType: "training",
    requestId,
    metadata: { parameters: { ...parameters } },
  });
  return operation?.operationId ?? "";
}

async function expectRefused(call: Promise<unknown>): Promise<void> {
  const error = ConnectError.from(
    await call.then(
      () => "it was answered",
      (reason: unknown) => reason,
    ),
  );
  expect(error.code, error.message).toBe(Code.Unavailable);
  expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "STORE_UNAVAILABLE" }]);
  expect(error.findDetails(RetryInfoSchema)[0]?.retryDelay).toBeDefined();
}

const failures: readonly [string, DiskMode, string][] = [
  ["is full", "full", "the disk is full"],
  ["fails to write", "write-fails", "input/output error"],
  ["fails to flush", "fsync-fails", "input/output error"],
];

describe.each(failures)("a disk that %s", (_, mode, reason) => {
  test("makes the server read-only, as it says, until the disk is well again; nothing acknowledged is lost", {
    timeout: 60_000,
  }, async ({ skip }) => {
    const { server, dataDir, environment, setMode } = await onFailingDisk(skip);
    const { client } = server;
    const ended = await createTraining(server, {});
    await operationIn(client, ended, COMPLETED);
    const running = await createTraining(server, { hold: true });
    const work = await threadedOperation(client);
    await operationWhen(client, running, ({ progress }) => progress?.stepsCompleted === 3n);

    setMode(mode);
    await expectRefused(createTraining(server, {}, "may be repeated"));
    await expectRefused(client.cancelOperation({ operationId: running, reason: "not now" }));
    await expectRefused(client.deleteOperation({ operationId: ended }));
    const { operation } = await client.getOperation({ operationId: running });
    expect(operation).toMatchObject({ status: RUNNING, progress: { stepsCompleted: 3n }, freshness: { stale: true } });
    expect(operation?.freshness?.staleReason).toContain(reason);
    expect(operation?.cancellation).toBeUndefined();
    // What is on the disk already can be read.
    expect((await client.getOperation({ operationId: ended })).operation).toMatchObject({ status: COMPLETED });
    expect((await client.listOperations({})).operations).toHaveLength(3);
    expect((await client.getMetrics({ operationId: ended })).newCursor).toBe(3n);
    // Work that ends cannot be told to have ended before that is stored.
    work.write("finish");
    await client.waitOperation({ operationId: work.operationId, untilDone: true, timeout: { nanos: 500_000_000 } });
    expect((await client.getOperation({ operationId: work.operationId })).operation?.status).toBe(RUNNING);

    setMode("healthy");
    await operationIn(client, work.operationId, COMPLETED);
    const back = await operationWhen(client, running, ({ freshness }) => freshness?.stale === false);
    expect(back.status).toBe(RUNNING);
    const later = await createTraining(server, {});
    await operationIn(client, later, COMPLETED);

    server.kill("SIGKILL");
    await server.exited;
    const { client: after } = await startServerProcess(dataDir, {}, environment);
    for (const operationId of [ended, work.operationId, later]) {
      expect((await after.getOperation({ operationId })).operation?.status).toBe(COMPLETED);
    }
    expect((await after.getOperation({ operationId: running })).operation).toMatchObject({ status: FAILED });
    expect((await after.countOperations({})).total).toBe(4n);
  });

  test("loses nothing acknowledged, and has nothing run twice, when the server is killed meanwhile", {
    timeout: 60_000,
  }, async ({ skip }) => {
    const { server, dataDir, environment, setMode } = await onFailingDisk(skip);
    const ledger = join(await temporaryDirectory(), "ledger");
    const acknowledged: string[] = [];
    const refused: string[] = [];
    const attempt = async (index: number) => {
      const requestId = `request ${index}`;
      try {
        acknowledged.push(await createTraining(server, { ledger }, requestId));
      } catch {
        refused.push(requestId);
      }
    };
    for (let index = 0; index < 20; index++) {
      if (index === 10) {
        setMode(mode);
      }
      await attempt(index);
    }
    expect(acknowledged).toHaveLength(10);
    server.kill("SIGKILL");
    await server.exited;
    setMode("healthy");

    const restarted = await startServerProcess(dataDir, {}, environment);
    for (const operationId of acknowledged) {
      await operationWhen(restarted.client, operationId, ({ status }) => status > RUNNING);
    }
    // A caller that was refused tries again, as it was told to.
    const ids = new Set(acknowledged);
    for (const requestId of refused) {
      ids.add(await createTraining(restarted, { ledger }, requestId));
    }
    for (const operationId of ids) {
      await operationWhen(restarted.client, operationId, ({ status }) => status > RUNNING);
    }
    expect(ids.size).toBe(20);
    expect((await restarted.client.countOperations({})).total).toBe(20n);
    const runs = readFileSync(ledger, "utf8").trim().split("\n");
    expect(new Set(runs).size).toBe(runs.length);
  });
});

test("a server that is started on a full disk says so", { timeout: 60_000 }, async ({ skip }) => {
  const { server, dataDir, environment, setMode } = await onFailingDisk(skip);
  server.kill("SIGKILL");
  await server.exited;
  setMode("full");
  await expect(startServerProcess(dataDir, {}, environment)).rejects.toThrow("before it was up");
  setMode("healthy");
  const { client } = await startServerProcess(dataDir, {}, environment);
  await expect.poll(async () => (await client.countOperations({})).total, { timeout: deadlineMs }).toBe(0n);
});
