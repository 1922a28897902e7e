import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { ErrorInfoSchema, ResourceInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { operationIn } from "../support/operation-when.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { connectTestClient } from "../support/test-client.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";

const request = {
  operationType: "training",
  operationName: "night run",
  requestId: "request-1",
  labels: { a: "1", b: "2" },
  metadata: { symbol: "AAPL", parameters: { hold: true, nested: { x: 1, y: [1, 2] } } },
};

const server = (options = {}) => startTestServer({ orchestrators: [new TestServices()], ...options });

/** The refusal of a call that must be refused. */
async function refusal(call: Promise<unknown>) {
  const failure = await call.then(
    () => Promise.reject(new Error("the call was not refused")),
    (error: unknown) => ConnectError.from(error),
  );
  return {
    code: failure.code,
    message: failure.rawMessage,
    reason: failure.findDetails(ErrorInfoSchema)[0]?.reason,
    resource: failure.findDetails(ResourceInfoSchema)[0]?.resourceName,
  };
}

test("the same request_id with the same payload is one operation, also long after its end", async () => {
  const { client } = await server();
  const { operation: first } = await client.createOperation(request);
  const reordered = {
    ...request,
    labels: { b: "2", a: "1" },
    metadata: { symbol: "AAPL", parameters: { nested: { y: [1, 2], x: 1 }, hold: true } },
  };
  const { operation: second } = await client.createOperation(reordered);
  expect(second?.operationId).toBe(first?.operationId);
  const operationId = first?.operationId ?? "";
  await client.cancelOperation({ operationId, reason: "no" });
  await operationIn(client, operationId, OperationStatus.CANCELLED);
  const { operation: third } = await client.createOperation(request);
  expect(third).toMatchObject({ operationId, status: OperationStatus.CANCELLED });
  expect((await client.countOperations({})).total).toBe(1n);
});

test("50 creates at once with one request_id, over five connections, are one operation that runs once", async () => {
  const { client, url } = await server();
  const clients = [client, ...Array.from({ length: 4 }, () => connectTestClient(url))];
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, index) => (clients[index % clients.length] ?? client).createOperation(request)),
  );
  expect(new Set(answers.map(({ operation }) => operation?.operationId)).size).toBe(1);
  expect((await client.countOperations({})).total).toBe(1n);
  const operationId = answers[0]?.operation?.operationId ?? "";
  await client.cancelOperation({ operationId, reason: "no" });
  expect(await operationIn(client, operationId, OperationStatus.CANCELLED)).toMatchObject({ metricsCursor: 3n });
});

test("50 creates at once with one request_id and 50 payloads are one operation and 49 refusals", async () => {
  const { client } = await server();
  const results = await Promise.allSettled(
    Array.from({ length: 50 }, (_, index) => client.createOperation({ ...request, operationName: `run ${index}` })),
  );
  const refused = results.filter((result) => result.status === "rejected");
  expect(refused).toHaveLength(49);
  expect(refused.every(({ reason }) => ConnectError.from(reason).code === Code.AlreadyExists)).toBe(true);
  expect((await client.countOperations({})).total).toBe(1n);
});

test("the same request_id with another payload is ALREADY_EXISTS and names the operation that has it", async () => {
  const { client } = await server();
  const { operation } = await client.createOperation(request);
  const operationId = operation?.operationId;
  expect(await refusal(client.createOperation({ ...request, labels: { a: "1" } }))).toEqual({
    code: Code.AlreadyExists,
    reason: "REQUEST_ID_REUSED",
    resource: operationId,
    message: `request_id "request-1" was used with another payload, for operation ${operationId}`,
  });
  expect((await client.getOperation({ operationId: operationId ?? "" })).operation?.labels).toEqual(request.labels);
});

test("without a request_id every create is an operation of its own", async () => {
  const { client } = await server();
  const ids = await Promise.all(
    Array.from({ length: 20 }, async () => (await client.createOperation({ operationType: "training" })).operation),
  );
  expect(new Set(ids.map((operation) => operation?.operationId)).size).toBe(20);
});

test("an operation_id is taken once: ALREADY_EXISTS, unless the request_id says it is the same call", async () => {
  const { client } = await server();
  const mine = { ...request, operationId: "op_mine" };
  expect((await client.createOperation(mine)).operation?.operationId).toBe("op_mine");
  expect((await client.createOperation(mine)).operation?.operationId).toBe("op_mine");
  for (const other of [
    { ...mine, requestId: "request-2" },
    { ...mine, requestId: "" },
  ]) {
    expect(await refusal(client.createOperation(other))).toMatchObject({
      code: Code.AlreadyExists,
      reason: "OPERATION_ID_IN_USE",
      resource: "op_mine",
    });
  }
  const taken = await Promise.allSettled(
    Array.from({ length: 20 }, () => client.createOperation({ operationType: "training", operationId: "op_other" })),
  );
  expect(taken.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
});

test("a restart of the server forgets no request_id", async () => {
  const dataDir = await temporaryDirectory();
  const before = await server({ dataDir });
  const { operation } = await before.client.createOperation({ ...request, metadata: {} });
  await before.stop();
  const { client } = await server({ dataDir });
  expect((await client.createOperation({ ...request, metadata: {} })).operation?.operationId).toBe(
    operation?.operationId,
  );
  expect(await refusal(client.createOperation(request))).toMatchObject({ reason: "REQUEST_ID_REUSED" });
});
