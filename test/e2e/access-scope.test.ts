import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { ownerHeader, viaHeader } from "../../src/operations/call-origin.ts";
import { roleTokenSettings, roleTokens } from "../support/access-files.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { connectTestClient, connectTestTransport, type OperationsClient } from "../support/test-client.ts";
import { startTestServer, type TestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";

const tenantToken = "tenant-token-0123456789";
const mixedToken = "mixed-token-0123456789";
const mine = { tenant: "a" };
const theirs = { tenant: "b" };

interface World {
  readonly server: TestServer;
  readonly dataDir: string;
  readonly admin: OperationsClient;
  /** Admin of what has the label tenant=a and the type training or data_load. */
  readonly tenant: OperationsClient;
  /** Viewer of everything, operator of training. */
  readonly mixed: OperationsClient;
}

async function startWorld(now?: () => number): Promise<World> {
  const dataDir = await temporaryDirectory();
  const operationTypes = ["training", "data_load"];
  const access = await roleTokenSettings([
    { name: "tenant", token: tenantToken, bindings: [{ role: "admin", labels: mine, operationTypes }] },
    {
      name: "mixed",
      token: mixedToken,
      bindings: [{ role: "viewer" }, { role: "operator", operationTypes: ["training"] }],
    },
  ]);
  const server = await startTestServer({
    orchestrators: [new TestServices()],
    settings: access,
    dataDir,
    ...(now && { now }),
  });
  const as = (token: string) => connectTestClient(server.url, { token });
  return { server, dataDir, admin: as(roleTokens.admin), tenant: as(tenantToken), mixed: as(mixedToken) };
}

/** What a call is refused with, all of it. */
async function refusal(call: Promise<unknown>) {
  const error = await call.then(
    () => {
      throw new Error("the call was not refused");
    },
    (thrown: unknown) => ConnectError.from(thrown),
  );
  const details = error.details.map((detail) => ("value" in detail ? Buffer.from(detail.value as Uint8Array) : detail));
  return { code: Code[error.code], message: error.rawMessage, details };
}

async function created(client: OperationsClient, labels: Record<string, string>, more: object = {}): Promise<string> {
  const { operation } = await client.createOperation({ operationType: "training", labels, ...more });
  return operation?.operationId ?? "";
}

async function ended(client: OperationsClient, labels: Record<string, string>, parameters: object = {}) {
  const operationId = await created(client, labels, { metadata: { parameters } });
  await client.waitOperation({ operationId, untilDone: true });
  return operationId;
}

describe("what a caller may not see", () => {
  test("is refused in the very words for what has never been, by every method that names an operation", async () => {
    const { server, admin, tenant } = await startWorld();
    const transport = connectTestTransport(server.url, { token: tenantToken });
    const longrunning = createClient(Operations, transport);
    const nameOf = (operationId: string) => `operations/${operationId}`;
    const hidden = await ended(admin, theirs, { error: "on purpose" });
    const running = await created(admin, theirs, { metadata: { parameters: { hold: true } } });
    const never = hidden.replace(/.{8}$/, "00000000");
    const calls: ((operationId: string) => Promise<unknown>)[] = [
      (operationId) => tenant.getOperation({ operationId }),
      (operationId) => tenant.getOperation({ operationId, maxStaleness: { seconds: 0n } }),
      (operationId) => tenant.waitOperation({ operationId, timeout: { seconds: 1n } }),
      (operationId) => tenant.cancelOperation({ operationId, reason: "why" }),
      (operationId) => tenant.cancelOperation({ operationId, reason: "why", force: true }),
      (operationId) => tenant.retryOperation({ operationId }),
      (operationId) => tenant.deleteOperation({ operationId }),
      (operationId) => tenant.getMetrics({ operationId }),
      (operationId) =>
        tenant.createOperation({ operationType: "training", labels: mine, parentOperationId: operationId }),
      (operationId) => longrunning.getOperation({ name: nameOf(operationId) }),
      (operationId) => longrunning.waitOperation({ name: nameOf(operationId), timeout: { seconds: 1n } }),
      (operationId) => longrunning.cancelOperation({ name: nameOf(operationId) }),
      (operationId) => longrunning.deleteOperation({ name: nameOf(operationId) }),
    ];
    for (const call of calls) {
      const answers = [];
      for (const id of [never, hidden, running]) {
        const { code, message, details } = await refusal(call(id));
        answers.push({
          code,
          message: message.replaceAll(id, "<id>"),
          details: details.map((one) => String(one).replaceAll(id, "<id>")),
        });
      }
      expect(answers[0]).toMatchObject({ code: "NotFound", message: "operation <id> does not exist" });
      expect(answers[1]).toEqual(answers[0]);
      expect(answers[2]).toEqual(answers[0]);
    }
  });

  test("is in no batch, list, count, page token or bulk cancellation", async () => {
    const { server, admin, tenant } = await startWorld();
    const own: string[] = [];
    const hidden: string[] = [];
    for (let round = 0; round < 5; round++) {
      hidden.push(await ended(admin, theirs), await ended(admin, {}));
      own.push(await ended(admin, mine));
    }
    const other = await admin.createOperation({ operationType: "backtesting", labels: mine });
    hidden.push(other.operation?.operationId ?? "");

    const batch = await tenant.batchGetOperations({
      operations: [...own, ...hidden, "op_never"].map((operationId) => ({ operationId })),
    });
    expect(batch.operations.map(({ operationId }) => operationId)).toEqual(own);
    expect(batch.notFound).toEqual([...hidden, "op_never"]);

    const listed: string[] = [];
    let pages = 0;
    for (let pageToken = ""; ; ) {
      const page = await tenant.listOperations({ pageSize: 2, pageToken });
      listed.push(...page.operations.map(({ operationId }) => operationId));
      pages += 1;
      pageToken = page.nextPageToken;
      expect(hidden.some((id) => Buffer.from(pageToken, "base64url").includes(id))).toBe(false);
      if (pageToken === "") break;
    }
    expect(listed).toEqual([...own].reverse());
    expect(pages).toBe(3);
    const longrunning = createClient(Operations, connectTestTransport(server.url, { token: tenantToken }));
    const filter = 'labels.tenant = "b" OR operation_type = "training"';
    const { operations: filtered } = await longrunning.listOperations({ name: "operations", filter });
    expect(filtered.map(({ name }) => name)).toEqual([...own].reverse().map((id) => `operations/${id}`));
    expect(await tenant.countOperations({})).toMatchObject({ total: 5n, byType: { training: 5n } });
    // A filter can ask for less than the scope, and not for more.
    expect(await tenant.countOperations({ filter: { labels: theirs } })).toMatchObject({ total: 0n });
    expect(await tenant.countOperations({ filter: { operationTypes: ["backtesting"] } })).toMatchObject({ total: 0n });

    const held = { metadata: { parameters: { hold: true } } };
    const ours = await created(admin, mine, held);
    const foreign = await created(admin, theirs, held);
    const statuses = [OperationStatus.PENDING, OperationStatus.RUNNING];
    expect(await tenant.cancelOperations({ filter: { statuses }, reason: "why" })).toMatchObject({
      operationIds: [ours],
    });
    expect((await admin.getOperation({ operationId: foreign })).operation?.cancellation).toBeUndefined();
  });

  test("makes the page tokens of others invalid", async () => {
    const { admin, tenant } = await startWorld();
    for (let round = 0; round < 3; round++) await ended(admin, mine);
    const { nextPageToken: pageToken } = await admin.listOperations({ pageSize: 1 });
    expect(await refusal(tenant.listOperations({ pageSize: 1, pageToken }))).toMatchObject({ code: "InvalidArgument" });
  });

  test("has not expired either", async () => {
    const clock = { nowMs: Date.now() };
    const { server, admin, tenant } = await startWorld(() => clock.nowMs);
    const operationId = await ended(admin, theirs);
    clock.nowMs += 30 * 86_400_000;
    // By then another tombstone would have been dropped; this one is left now.
    await server.operations.sweep();
    expect((await refusal(admin.getOperation({ operationId }))).message).toContain("was removed on");
    expect((await refusal(tenant.getOperation({ operationId }))).message).toBe(
      `operation ${operationId} does not exist`,
    );
  });

  test("shows in a refused create only as an id that cannot be used", async () => {
    const { admin, tenant } = await startWorld();
    const operationId = await created(admin, theirs, { requestId: "r1" });
    const ask = (request: object) =>
      refusal(tenant.createOperation({ operationType: "training", labels: mine, ...request }));
    const byId = await ask({ operationId });
    expect(byId).toMatchObject({
      code: "AlreadyExists",
      message: "the operation_id cannot be used; choose another one",
    });
    const byRequest = await ask({ requestId: "r1" });
    expect(byRequest).toMatchObject({
      code: "AlreadyExists",
      message: "the request_id cannot be used; choose another one",
    });
    expect(JSON.stringify([byRequest, ...byId.details.map(String)])).not.toContain(operationId);
    // Of its own, it is told what it is.
    const own = await created(tenant, mine, { requestId: "r2" });
    expect((await ask({ requestId: "r2", operationName: "another" })).message).toContain(own);
  });
});

describe("what a caller may see and not change", () => {
  test("is refused with the role that is needed and what the caller has it for", async () => {
    const { admin, server } = await startWorld();
    const viewer = connectTestClient(server.url, { token: roleTokens.viewer });
    const operator = connectTestClient(server.url, { token: roleTokens.operator });
    const operationId = await ended(admin, mine);
    expect(await refusal(viewer.cancelOperation({ operationId, reason: "why" }))).toMatchObject({
      code: "PermissionDenied",
      message: "longhaul.v1.OperationsService/CancelOperation needs the role operator; token:viewer has viewer",
    });
    expect(await refusal(operator.cancelOperation({ operationId, reason: "why", force: true }))).toMatchObject({
      code: "PermissionDenied",
      message: expect.stringContaining("CancelOperation with force needs the role admin"),
    });
    expect((await operator.cancelOperation({ operationId, reason: "why" })).operation?.operationId).toBe(operationId);
  });

  test("can be of another type than the caller may change", async () => {
    const { admin, mixed } = await startWorld();
    const { operation } = await admin.createOperation({ operationType: "data_load" });
    const operationId = operation?.operationId ?? "";
    expect((await mixed.getOperation({ operationId })).operation?.operationId).toBe(operationId);
    expect(await refusal(mixed.cancelOperation({ operationId, reason: "why" }))).toMatchObject({
      code: "PermissionDenied",
      message: `CancelOperation needs the role operator for operation ${operationId}; token:mixed has it for: type training`,
    });
    const own = await created(admin, {});
    expect((await mixed.cancelOperation({ operationId: own, reason: "why" })).operation?.operationId).toBe(own);
  });
});

describe("what a caller may create", () => {
  test("has its types and labels, and a refusal says which", async () => {
    const { tenant } = await startWorld();
    for (const request of [
      { operationType: "backtesting", labels: mine },
      { operationType: "training" },
      { operationType: "training", labels: theirs },
      { operationType: "no_such_type", labels: mine },
    ]) {
      expect(await refusal(tenant.createOperation(request))).toMatchObject({
        code: "PermissionDenied",
        message: expect.stringContaining("type training or data_load with label tenant=a"),
      });
    }
    const parentOperationId = await created(
      tenant,
      { ...mine, more: "yes" },
      { metadata: { parameters: { hold: true } } },
    );
    await created(tenant, mine, { parentOperationId });
  });

  test("can be retried, for the labels go on", async () => {
    const { tenant } = await startWorld();
    const operationId = await ended(tenant, mine, { error: "on purpose" });
    const { operation } = await tenant.retryOperation({ operationId });
    expect(operation).toMatchObject({ retryOf: operationId, labels: mine });
  });
});

test("the headers that servers send each other give a caller no more rights", async () => {
  const { server, admin, dataDir } = await startWorld();
  const hidden = await created(admin, theirs, { metadata: { parameters: { hold: true } } });
  const never = hidden.replace(/.{8}$/, "00000000");
  // The right name of the server is the one that might tell something.
  const database = new DatabaseSync(join(dataDir, "longhaul.sqlite"), { readOnly: true });
  const { owner } = database.prepare("select owner from operations where operation_id = ?").get(hidden) ?? {};
  database.close();
  expect(owner).toEqual(expect.stringMatching(/./));
  for (const headers of [
    { [ownerHeader]: String(owner) },
    { [ownerHeader]: "another-server" },
    { [viaHeader]: "a,b" },
    { [ownerHeader]: "x", [viaHeader]: "a" },
  ]) {
    const tenant = connectTestClient(server.url, { token: tenantToken, headers });
    const answers = [];
    for (const operationId of [never, hidden]) {
      const { code, message } = await refusal(tenant.getOperation({ operationId }));
      await refusal(tenant.cancelOperation({ operationId, reason: "why" }));
      answers.push({ code, message: message.replaceAll(operationId, "<id>") });
    }
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[0]?.code).toBe("NotFound");
    const viewer = connectTestClient(server.url, { token: roleTokens.viewer, headers });
    expect((await refusal(viewer.cancelOperation({ operationId: hidden, reason: "why" }))).code).toBe(
      "PermissionDenied",
    );
    const nobody = connectTestClient(server.url, { headers });
    expect((await refusal(nobody.getOperation({ operationId: hidden }))).code).toBe("Unauthenticated");
  }
});

test("a caller without a credential is told so in a way that HTTP clients understand", async () => {
  const { server } = await startWorld();
  const response = await fetch(`${server.url}/longhaul.v1.OperationsService/ListOperations`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  expect(response.status).toBe(401);
  expect(response.headers.get("www-authenticate")).toBe("Bearer");
  expect(await response.json()).toMatchObject({
    code: "unauthenticated",
    message: expect.stringContaining("bearer token"),
  });
  const nobody = connectTestClient(server.url);
  const error = await nobody.listOperations({}).catch((thrown: unknown) => ConnectError.from(thrown));
  expect(error).toBeInstanceOf(ConnectError);
  expect((error as ConnectError).findDetails(ErrorInfoSchema)[0]?.reason).toBe("UNAUTHENTICATED");
});
