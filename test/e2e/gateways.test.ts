import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { freePort } from "../support/free-port.ts";
import { operationIn, operationWhen } from "../support/operation-when.ts";
import { startScriptedHost } from "../support/scripted-host.ts";
import type { OperationsClient } from "../support/test-client.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";

const { PENDING, RUNNING, COMPLETED, FAILED, CANCELLED } = OperationStatus;

/** A host, a gateway in front of it, and a gateway in front of that. */
async function chain() {
  const host = await startTestServer({ orchestrators: [new TestServices()] });
  const inner = await startTestServer({ settings: { routes: { training: host.url } } });
  const outer = await startTestServer({ settings: { routes: { training: inner.url } } });
  return { host, inner, outer };
}

async function createTraining(client: OperationsClient, parameters: { records?: number; hold?: boolean } = {}) {
  const { operation } = await client.createOperation({ operationType: "training", metadata: { parameters } });
  return operation?.operationId ?? "";
}

describe("a gateway in front of a gateway", { timeout: 30_000 }, () => {
  test("works with one id everywhere: create, get, wait and metrics", async () => {
    const { host, inner, outer } = await chain();
    const operationId = await createTraining(outer.client, { records: 5 });

    const { operation } = await outer.client.waitOperation({ operationId, untilDone: true });
    expect(operation).toMatchObject({ status: COMPLETED, host: inner.url, resultSummary: { records: 5 } });
    expect(await operationIn(inner.client, operationId, COMPLETED)).toMatchObject({ host: host.url });
    expect(await operationIn(host.client, operationId, COMPLETED)).toMatchObject({ host: "" });
    const [atOuter, atHost] = await Promise.all([
      outer.client.getMetrics({ operationId }),
      host.client.getMetrics({ operationId }),
    ]);
    expect(atOuter.metrics).toEqual(atHost.metrics);
    expect(atOuter.newCursor).toBe(5n);
  });

  test("a cancel goes all the way, and the acknowledgement comes all the way back", async () => {
    const { host, inner, outer } = await chain();
    const operationId = await createTraining(outer.client, { hold: true });
    await operationWhen(outer.client, operationId, ({ progress }) => progress?.stepsCompleted === 3n);

    await outer.client.cancelOperation({ operationId, reason: "from the outside" });
    for (const { client } of [outer, inner, host]) {
      const { cancellation } = await operationIn(client, operationId, CANCELLED);
      expect(cancellation).toMatchObject({ reason: "from the outside", acknowledgedAt: expect.anything() });
    }
  });

  test.each([1, 3])("what the inner one cannot ask is stale at the outer one, too (%d operations)", async (count) => {
    let isDown = false;
    const host = await startScriptedHost({
      createOperation: ({ operationId }) => ({ operation: { operationId, status: RUNNING } }),
      getOperation({ operationId }) {
        if (isDown) {
          throw new ConnectError("not now", Code.Unavailable);
        }
        return { operation: { operationId, status: RUNNING, revision: 1n } };
      },
    });
    const inner = await startTestServer({ settings: { routes: { training: host.url } } });
    const outer = await startTestServer({ settings: { routes: { training: inner.url } } });
    const operationIds = await Promise.all(Array.from({ length: count }, () => createTraining(outer.client)));
    const all = async () => {
      const operations = operationIds.map((operationId) => ({ operationId }));
      const answer = await outer.client.batchGetOperations({ operations, maxStaleness: {} });
      return answer.operations.map(({ status, freshness }) => ({
        status,
        stale: freshness?.stale,
        reason: freshness?.staleReason,
      }));
    };
    const seen = operationIds.map(() => ({ status: RUNNING, stale: false, reason: "" }));
    await expect.poll(all).toEqual(seen);
    isDown = true;
    const reason = expect.stringContaining(`host ${host.url}: not now`);
    await expect.poll(all).toEqual(operationIds.map(() => ({ status: RUNNING, stale: true, reason })));
    isDown = false;
    await expect.poll(all, { timeout: 10_000 }).toEqual(seen);
  });

  test("a loop A→B→A is refused: the operation FAILED with a reason that names the loop", async () => {
    const portOfA = await freePort();
    const b = await startTestServer({ settings: { routes: { training: `http://127.0.0.1:${portOfA}` } } });
    const a = await startTestServer({ settings: { port: portOfA, routes: { training: b.url } } });

    const operationId = await createTraining(a.client);
    const atA = await operationIn(a.client, operationId, FAILED);
    expect(atA.error).toMatchObject({ reason: "ROUTING_LOOP", code: Code.FailedPrecondition });
    expect((await operationIn(b.client, operationId, FAILED)).error?.reason).toBe("ROUTING_LOOP");
  });

  test("more gateways than maxHops are refused", async () => {
    const host = await startTestServer({ orchestrators: [new TestServices()], settings: { maxHops: 1 } });
    const inner = await startTestServer({ settings: { routes: { training: host.url } } });
    const outer = await startTestServer({ settings: { routes: { training: inner.url } } });

    const near = await createTraining(inner.client);
    await operationIn(inner.client, near, COMPLETED);
    const far = await createTraining(outer.client);
    expect((await operationIn(outer.client, far, FAILED)).error?.reason).toBe("TOO_MANY_HOPS");
  });
});

describe("a gateway and its host", { timeout: 30_000 }, () => {
  test("a host's refusal makes the operation FAILED with the host's reason", async () => {
    const host = await startTestServer({ orchestrators: [new TestServices()] });
    const { client } = await startTestServer({ settings: { routes: { unheard_of: host.url } } });
    const { operation } = await client.createOperation({ operationType: "unheard_of" });

    const { error } = await operationIn(client, operation?.operationId ?? "", FAILED);
    expect(error).toMatchObject({ reason: "UNKNOWN_OPERATION_TYPE", code: Code.InvalidArgument });
    expect(error?.message).toContain(host.url);
    expect(error?.message).toContain("unheard_of");
  });

  test("an operation created while the host is down stays PENDING and says why, and runs when the host comes", async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const { client } = await startTestServer({ settings: { routes: { training: url } } });
    const operationId = await createTraining(client);
    const waiting = await operationWhen(client, operationId, ({ freshness }) => freshness?.stale === true);
    expect(waiting.status).toBe(PENDING);
    expect(waiting.freshness?.staleReason).toContain(url);

    const host = await startTestServer({ orchestrators: [new TestServices()], settings: { port } });
    const ended = await operationIn(client, operationId, COMPLETED);
    expect(ended).toMatchObject({ attempt: 1, freshness: { stale: false } });
    expect((await host.client.countOperations({})).total).toBe(1n);
  });

  test("an operation created while the host is down is cancelled cleanly before it comes", async () => {
    const port = await freePort();
    const { client } = await startTestServer({ settings: { routes: { training: `http://127.0.0.1:${port}` } } });
    const unwanted = await createTraining(client);
    const wanted = await createTraining(client);
    await operationWhen(client, unwanted, ({ freshness }) => freshness?.stale === true);

    const { operation } = await client.cancelOperation({ operationId: unwanted, reason: "not needed" });
    expect(operation).toMatchObject({ status: CANCELLED, cancellation: { reason: "not needed", forced: false } });
    expect(operation?.startedAt).toBeUndefined();

    const host = await startTestServer({ orchestrators: [new TestServices()], settings: { port } });
    await operationIn(client, wanted, COMPLETED);
    await expect(host.client.getOperation({ operationId: unwanted })).rejects.toMatchObject({ code: Code.NotFound });
  });

  test("the host's errors never reach the gateway's callers as errors, nor do its headers", async () => {
    const secret = new ConnectError("the key is hunter2", Code.Unauthenticated, { "x-secret": "hunter2" });
    const host = await startScriptedHost({
      createOperation: ({ operationId }) => ({ operation: { operationId, status: RUNNING } }),
      getOperation: () => Promise.reject(secret),
      cancelOperation: () => Promise.reject(secret),
      getMetrics: () => Promise.reject(secret),
    });
    const { client } = await startTestServer({ settings: { routes: { training: host.url } } });
    const operationId = await createTraining(client);
    await operationWhen(client, operationId, ({ freshness }) => freshness?.stale === true);
    const headers: Headers[] = [];
    const options = {
      onHeader: (header: Headers) => headers.push(header),
      onTrailer: (trailer: Headers) => headers.push(trailer),
    };

    const { operation } = await client.getOperation({ operationId, maxStaleness: {} }, options);
    expect(operation).toMatchObject({ status: PENDING, freshness: { stale: true } });
    const { freshness, newCursor } = await client.getMetrics({ operationId }, options);
    expect({ freshness, newCursor }).toMatchObject({ freshness: { stale: true }, newCursor: 0n });
    const { operation: cancelling } = await client.cancelOperation({ operationId, reason: "enough" }, options);
    expect(cancelling?.cancellation).toMatchObject({ reason: "enough" });
    expect(cancelling?.cancellation?.deliveredAt).toBeUndefined();
    expect(host.calls("CancelOperation")).toBeGreaterThan(0);

    expect(headers.length).toBeGreaterThan(0);
    for (const received of headers) {
      expect(received.has("x-secret")).toBe(false);
    }
    const unknown = await client.getOperation({ operationId: "op_training_x" }).catch((error: unknown) => error);
    expect(unknown).toMatchObject({ code: Code.NotFound });
    expect((unknown as ConnectError).findDetails(ErrorInfoSchema)).toMatchObject([
      { reason: "OPERATION_NOT_FOUND", domain: "longhaul" },
    ]);
  });
});
