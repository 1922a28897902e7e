import { create, toBinary } from "@bufbuild/protobuf";
import { type Any, anyUnpack, durationFromMs, EmptySchema, StructSchema } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Operation, OperationSchema, Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { OperationInfoSchema, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { createGrpcJsTransport } from "../../src/client/grpc-transport.ts";
import { operationIn, operationWhen } from "../support/operation-when.ts";
import { startServerProcess } from "../support/server-process.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import type { OperationsClient } from "../support/test-client.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";

const { RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;

/** A server of test services with a gRPC client of both of its services. */
async function startServer(settings: Parameters<typeof startTestServer>[0] = {}) {
  const server = await startTestServer({ orchestrators: [new TestServices()], ...settings });
  return { ...server, longrunning: connectLongrunning(server.url) };
}

function connectLongrunning(baseUrl: string): Client<typeof Operations> {
  const transport = createGrpcJsTransport({ baseUrl });
  onTestFinished(() => transport.close());
  return createClient(Operations, transport);
}

/** Creates an operation and answers its id. */
async function begin(client: OperationsClient, parameters = {}, labels: Record<string, string> = {}): Promise<string> {
  const { operation } = await client.createOperation({ operationType: "training", metadata: { parameters }, labels });
  return operation?.operationId ?? "";
}

const metadataOf = ({ metadata }: Operation) => anyUnpack(metadata as Any, OperationInfoSchema);
const namesOf = (operations: readonly Operation[]) => operations.map(({ name }) => name);
const nameOf = (operationId: string) => `operations/${operationId}`;

/** Expects a call to be refused, and answers the field it was refused for. */
async function refusedField(call: Promise<unknown>, code: Code, reason: string): Promise<string | undefined> {
  const error = ConnectError.from(
    await call.then(
      () => expect.unreachable("it was not refused"),
      (cause) => cause,
    ),
  );
  expect(Code[error.code]).toBe(Code[code]);
  expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ domain: "longhaul", reason }]);
  return error.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field;
}

describe("GetOperation", () => {
  test("tells of an operation from its beginning to its result", async () => {
    const { client, longrunning } = await startServer();
    const operationId = await begin(client, { hold: true }, { team: "ml" });
    await operationWhen(client, operationId, ({ progress }) => progress?.stepsCompleted === 3n);
    const running = await longrunning.getOperation({ name: nameOf(operationId) });
    expect(running).toMatchObject({ name: nameOf(operationId), done: false, result: { case: undefined } });
    expect(metadataOf(running)).toMatchObject({ operationId, status: RUNNING, labels: { team: "ml" } });

    const completedId = await begin(client);
    await operationIn(client, completedId, COMPLETED);
    const completed = await longrunning.getOperation({ name: nameOf(completedId) });
    expect(completed).toMatchObject({ done: true, result: { case: "response" } });
    expect(anyUnpack(completed.result.value as Any, StructSchema)?.fields).toMatchObject({
      records: { kind: { value: 3 } },
    });
  });

  test("tells of failures and cancellations as errors", async () => {
    const { client, longrunning } = await startServer();
    const failedId = await begin(client, { error: "no data" });
    await operationIn(client, failedId, FAILED);
    const failed = await longrunning.getOperation({ name: nameOf(failedId) });
    expect(failed).toMatchObject({
      done: true,
      result: { case: "error", value: { code: Code.Unknown, message: "no data" } },
    });

    const cancelledId = await begin(client, { hold: true });
    await client.cancelOperation({ operationId: cancelledId, reason: "wrong data" });
    await operationIn(client, cancelledId, CANCELLED);
    const cancelled = await longrunning.getOperation({ name: nameOf(cancelledId) });
    expect(cancelled).toMatchObject({
      done: true,
      result: { case: "error", value: { code: 1, message: "wrong data" } },
    });
  });

  test("answers byte for byte the same while nothing changes, on a host and on its gateway", async () => {
    // Every poll asks the source anew.
    const settings = { cacheTtlMs: 0 };
    const host = await startServer({ settings });
    const gateway = await startServer({ orchestrators: [], settings: { ...settings, routes: { training: host.url } } });
    const operationId = await begin(gateway.client, { hold: true, b: { d: 1, c: 2 }, a: 0 }, { b: "2", a: "1" });
    await operationWhen(gateway.client, operationId, ({ progress }) => progress?.stepsCompleted === 3n);
    for (const { longrunning, client } of [host, gateway]) {
      const polls: string[] = [];
      const observed = new Set<string>();
      for (let poll = 0; poll < 5; poll++) {
        const operation = await longrunning.getOperation({ name: nameOf(operationId) });
        polls.push(Buffer.from(toBinary(OperationSchema, operation)).toString("hex"));
        const { freshness } = await operationWhen(client, operationId, (info) => {
          return !observed.has(JSON.stringify(info.freshness?.observedAt?.nanos));
        });
        observed.add(JSON.stringify(freshness?.observedAt?.nanos));
      }
      expect(new Set(polls).size).toBe(1);
      expect(observed.size).toBe(5);
    }
  });

  test("refuses names that are none, and does not find what is not there", async () => {
    const { longrunning } = await startServer();
    for (const name of [
      "",
      "op_a",
      "operations/",
      "operations/../op_a",
      "projects/p/operations/op_a",
      "operations/OP",
    ]) {
      const field = await refusedField(longrunning.getOperation({ name }), Code.InvalidArgument, "INVALID_FIELD");
      expect(field).toBe("name");
    }
    await refusedField(longrunning.getOperation({ name: "operations/op_a" }), Code.NotFound, "OPERATION_NOT_FOUND");
  });
});

describe("WaitOperation", () => {
  test("answers at the end", async () => {
    const { client, longrunning } = await startServer();
    const operationId = await begin(client, { hold: true });
    const waiting = longrunning.waitOperation({ name: nameOf(operationId) });
    await client.cancelOperation({ operationId, reason: "enough" });
    expect(await waiting).toMatchObject({
      done: true,
      result: { case: "error", value: { code: 1, message: "enough" } },
    });
    expect(await longrunning.waitOperation({ name: nameOf(operationId) })).toMatchObject({ done: true });
  });

  test("answers the current state at the timeout, and before the caller's deadline", async () => {
    const { client, longrunning } = await startServer();
    const name = nameOf(await begin(client, { hold: true }));
    expect(await longrunning.waitOperation({ name, timeout: durationFromMs(30) })).toMatchObject({ done: false });
    expect(await longrunning.waitOperation({ name, timeout: durationFromMs(0) })).toMatchObject({ done: false });
    expect(await longrunning.waitOperation({ name }, { timeoutMs: 300 })).toMatchObject({ done: false });
    const negative = longrunning.waitOperation({ name, timeout: durationFromMs(-1) });
    expect(await refusedField(negative, Code.InvalidArgument, "INVALID_FIELD")).toBe("timeout");
  });
});

describe("CancelOperation", () => {
  test("stops the work and its children, and changes nothing about what has ended", async () => {
    const { client, longrunning } = await startServer();
    const parentId = await begin(client, { hold: true });
    const { operation: child } = await client.createOperation({
      operationType: "training",
      parentOperationId: parentId,
      metadata: { parameters: { hold: true } },
    });
    expect(await longrunning.cancelOperation({ name: nameOf(parentId) })).toEqual(create(EmptySchema));
    for (const operationId of [parentId, child?.operationId ?? ""]) {
      const { cancellation } = await operationIn(client, operationId, CANCELLED);
      expect(cancellation?.reason).toBe("cancelled through google.longrunning");
    }
    const completedId = await begin(client);
    await operationIn(client, completedId, COMPLETED);
    await longrunning.cancelOperation({ name: nameOf(completedId) });
    expect(await longrunning.getOperation({ name: nameOf(completedId) })).toMatchObject({
      result: { case: "response" },
    });
    await refusedField(longrunning.cancelOperation({ name: "operations/op_a" }), Code.NotFound, "OPERATION_NOT_FOUND");
  });
});

describe("DeleteOperation", () => {
  test("removes what has ended, and refuses the rest", async () => {
    const { client, longrunning } = await startServer();
    const operationId = await begin(client, { hold: true });
    const name = nameOf(operationId);
    await refusedField(longrunning.deleteOperation({ name }), Code.FailedPrecondition, "OPERATION_NOT_TERMINAL");
    await longrunning.cancelOperation({ name });
    await operationIn(client, operationId, CANCELLED);
    expect(await longrunning.deleteOperation({ name })).toEqual(create(EmptySchema));
    await refusedField(longrunning.getOperation({ name }), Code.NotFound, "OPERATION_NOT_FOUND");
  });
});

describe("ListOperations", () => {
  test("answers every page of a filter, newest first", async () => {
    // No two operations are created in the same millisecond.
    let nowMs = Date.now();
    const { client, longrunning } = await startServer({ now: () => nowMs++ });
    const wanted: string[] = [];
    for (let index = 0; index < 24; index++) {
      const failing = index % 4 === 3;
      const operationId = await begin(client, failing ? { error: "no" } : {}, { team: index % 2 ? "red" : "blue" });
      await operationIn(client, operationId, failing ? FAILED : COMPLETED);
      if (index % 2 === 0 || failing) {
        wanted.unshift(nameOf(operationId));
      }
    }
    const filter = 'done = true AND (labels.team = "blue" OR status = FAILED)';
    const listed: string[] = [];
    for (let pageToken = "", isLast = false; !isLast; ) {
      const page = await longrunning.listOperations({ filter, pageSize: 5, pageToken });
      expect(page.operations.length).toBeLessThanOrEqual(5);
      listed.push(...namesOf(page.operations));
      pageToken = page.nextPageToken;
      isLast = pageToken === "";
    }
    expect(listed).toEqual(wanted);

    const { nextPageToken: pageToken } = await longrunning.listOperations({ filter, pageSize: 5 });
    const otherFilter = longrunning.listOperations({ filter: "done = true", pageToken });
    expect(await refusedField(otherFilter, Code.InvalidArgument, "INVALID_PAGE_TOKEN")).toBe("page_token");
    const sameMeaning = "done=true (labels.team='blue' OR status=FAILED)";
    const { operations } = await longrunning.listOperations({ filter: sameMeaning, pageToken });
    expect(namesOf(operations)).toEqual(wanted.slice(5));
  });

  test("lists all without a filter, and refuses what cannot be meant", async () => {
    const { client, longrunning } = await startServer();
    const names = [nameOf(await begin(client)), nameOf(await begin(client, { hold: true }))];
    for (const name of ["", "operations"]) {
      const page = await longrunning.listOperations({ name });
      expect(namesOf(page.operations).toSorted()).toEqual(names.toSorted());
      expect(page).toMatchObject({ nextPageToken: "", unreachable: [] });
    }
    const field = async (request: Parameters<typeof longrunning.listOperations>[0]) =>
      refusedField(longrunning.listOperations(request), Code.InvalidArgument, "INVALID_FIELD");
    expect(await field({ name: "projects/p" })).toBe("name");
    expect(await field({ pageSize: -1 })).toBe("page_size");
    expect(await field({ filter: "status = DONE" })).toBe("filter");
    expect(await field({ filter: "(" })).toBe("filter");
  });

  test("names what cannot be reached, or lists it as last known", { timeout: 30_000 }, async () => {
    const host = await startServerProcess(await temporaryDirectory());
    const gateway = await startServer({ settings: { routes: { custom: host.url } } });
    const { client, longrunning } = gateway;
    const { operation } = await client.createOperation({
      operationType: "custom",
      metadata: { parameters: { records: 2, hold: true } },
    });
    const remoteId = operation?.operationId ?? "";
    await operationWhen(client, remoteId, ({ progress }) => progress?.stepsCompleted === 2n);
    const localId = await begin(client, { hold: true });
    await operationIn(client, localId, RUNNING);
    const partial = { returnPartialSuccess: true };
    expect(namesOf((await longrunning.listOperations(partial)).operations)).toEqual([
      nameOf(localId),
      nameOf(remoteId),
    ]);

    host.kill("SIGKILL");
    await host.exited;
    await operationWhen(client, remoteId, ({ freshness }) => freshness?.stale === true);

    const without = await longrunning.listOperations({});
    expect(without.unreachable).toEqual([]);
    expect(namesOf(without.operations)).toEqual([nameOf(localId), nameOf(remoteId)]);
    const stale = metadataOf(without.operations[1] as Operation);
    expect(stale).toMatchObject({ status: RUNNING, progress: { stepsCompleted: 2n }, freshness: { stale: true } });
    expect(stale?.freshness?.staleReason).toContain(host.url);

    const withPartial = await longrunning.listOperations(partial);
    expect(withPartial.unreachable).toEqual([nameOf(remoteId)]);
    expect(namesOf(withPartial.operations)).toEqual([nameOf(localId)]);
    // A page may have nothing but what cannot be reached.
    const remoteOnly = await longrunning.listOperations({ ...partial, filter: "type = custom", pageSize: 1 });
    expect(remoteOnly).toMatchObject({ operations: [], unreachable: [nameOf(remoteId)] });
  });
});

test("every method answers JSON, as for curl", async () => {
  const { client, url } = await startServer();
  const call = async (method: string, message: unknown) => {
    const answer = await fetch(`${url}/google.longrunning.Operations/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(message),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  const operationId = await begin(client);
  const name = nameOf(operationId);
  const completed = {
    name,
    metadata: {
      "@type": "type.googleapis.com/longhaul.v1.OperationInfo",
      operationId,
      status: "OPERATION_STATUS_COMPLETED",
      freshness: { source: "FRESHNESS_SOURCE_STORED" },
    },
    done: true,
    response: { "@type": "type.googleapis.com/google.protobuf.Struct", value: { records: 3 } },
  };
  expect(await call("WaitOperation", { name, timeout: "10s" })).toMatchObject({ status: 200, body: completed });
  expect(await call("GetOperation", { name })).toMatchObject({ status: 200, body: completed });
  const failedId = await begin(client, { error: "no data" });
  const failed = {
    name: nameOf(failedId),
    done: true,
    error: {
      code: 2,
      message: "no data",
      details: [
        { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "OPERATION_FAILED", domain: "longhaul" },
      ],
    },
  };
  expect(await call("WaitOperation", { name: nameOf(failedId) })).toMatchObject({ status: 200, body: failed });
  const listed = await call("ListOperations", { name: "operations", filter: "done = true", pageSize: 1 });
  expect(listed).toMatchObject({ status: 200, body: { operations: [failed], nextPageToken: expect.any(String) } });
  expect(await call("CancelOperation", { name })).toEqual({ status: 200, body: {} });
  expect(await call("DeleteOperation", { name })).toEqual({ status: 200, body: {} });
  expect(await call("GetOperation", { name })).toMatchObject({ status: 404, body: { code: "not_found" } });
  expect(await call("ListOperations", { filter: "priority > 3" })).toMatchObject({
    status: 400,
    body: {
      code: "invalid_argument",
      message: expect.stringMatching(/^filter: at character 1: there is no field "priority"/),
    },
  });
});
