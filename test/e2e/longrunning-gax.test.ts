import { type DescMessage, fromBinary } from "@bufbuild/protobuf";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import {
  createBackoffSettings,
  GoogleAuth,
  GoogleError,
  googleAuthLibrary,
  grpc,
  LongrunningDescriptor,
  lro,
  type Operation,
  operation,
  operationsProtos,
  Status,
} from "google-gax";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { type OperationInfo, OperationInfoSchema, OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { callerRuns } from "../../src/operations/caller-runs.ts";
import { deadlineMs, operationIn } from "../support/operation-when.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";

/** Polls every few milliseconds, as the default every 100 ms and slower. */
const backoff = createBackoffSettings(5, 1, 5, null, null, null, deadlineMs);

/** A server with a client of google-gax, the runtime of Google's generated clients for Node.js, as they set it up. */
async function startServer() {
  const server = await startTestServer({ orchestrators: [new TestServices()], settings: { cacheTtlMs: 0 } });
  // Without a client of its own, google-gax would look for Google's credentials.
  const auth = new GoogleAuth({ authClient: new googleAuthLibrary.PassThroughClient() });
  const client = lro({ auth }).operationsClient({
    servicePath: "127.0.0.1",
    port: server.port,
    sslCreds: grpc.credentials.createInsecure(),
  });
  onTestFinished(() => client.close());
  const decode = (schema: DescMessage) => (bytes: unknown) => fromBinary(schema, bytes as Uint8Array) as never;
  const descriptor = new LongrunningDescriptor(client, decode(StructSchema), decode(OperationInfoSchema));
  /** An operation as a generated client's `check…Progress` answers it. */
  const find = async (operationId: string): Promise<Operation> => {
    const request = operationsProtos.google.longrunning.GetOperationRequest.create({
      name: `operations/${operationId}`,
    });
    const [found] = await client.getOperation(request);
    return operation(found, descriptor, backoff);
  };
  const begin = async (parameters: Record<string, number | string | boolean>): Promise<Operation> => {
    const metadata = { parameters };
    const { operation: created } = await server.client.createOperation({ operationType: "training", metadata });
    return find(created?.operationId ?? "");
  };
  return { ...server, longrunning: client, begin, find };
}

const idOf = ({ name = "" }: Operation) => name.replace("operations/", "");

describe("the polling helper of google-gax", () => {
  test("answers the result and the last metadata", async () => {
    const { begin } = await startServer();
    const [result, metadata, raw] = (await (await begin({ records: 5 })).promise()) as [
      unknown,
      OperationInfo,
      Operation,
    ];
    expect(result).toMatchObject({ fields: { records: { kind: { value: 5 } } } });
    expect(metadata).toMatchObject({ status: OperationStatus.COMPLETED, progress: { percentage: 100 } });
    expect(raw.done).toBe(true);
  });

  test("tells of progress when there is some, and only then", async () => {
    const { operations, find } = await startServer();
    const { operationId } = await operations.createOperation({ operationType: "training" }, { executor: callerRuns });
    await operations.startOperation(operationId);
    const operation = await find(operationId);
    const seen: unknown[] = [];
    operation.on("progress", ({ progress }: OperationInfo) => seen.push(progress?.percentage));
    const ended = operation.promise();
    for (const percentage of [25, 50, 75]) {
      operations.updateProgress(operationId, { percentage });
      await vi.waitFor(() => expect(seen.at(-1)).toBe(percentage), { timeout: deadlineMs });
    }
    await operations.completeOperation(operationId, { loss: 0.5 });
    expect(await ended).toMatchObject([{ fields: { loss: {} } }, { progress: { percentage: 100 } }, { done: true }]);
    // A clock in the metadata that ticks by itself would make every poll one.
    expect(seen).toEqual([25, 50, 75]);
  });

  test("rejects with the error of an operation that failed", async () => {
    const { begin } = await startServer();
    const error = await (await begin({ error: "no data" })).promise().catch((cause) => cause);
    expect(error).toBeInstanceOf(GoogleError);
    expect(error).toMatchObject({ code: Status.UNKNOWN, message: "no data" });
  });

  test("cancels, and rejects with CANCELLED when the work has stopped", async () => {
    const { begin, client } = await startServer();
    const operation = await begin({ hold: true });
    await operationIn(client, idOf(operation), OperationStatus.RUNNING);
    const ended = operation.promise().catch((cause) => cause);
    await operation.cancel();
    await operationIn(client, idOf(operation), OperationStatus.CANCELLED);
    expect(await ended).toMatchObject({ code: Status.CANCELLED });
    const answer = await operation.getOperation().catch((cause) => cause);
    expect(answer).toMatchObject({ code: Status.CANCELLED, message: "cancelled through google.longrunning" });
  });
});

test("google-gax walks the pages of a list with a filter", async () => {
  const { begin, client, longrunning } = await startServer();
  const names: string[] = [];
  for (let index = 0; index < 5; index++) {
    const operation = await begin({});
    await operationIn(client, idOf(operation), OperationStatus.COMPLETED);
    names.push(operation.name ?? "");
  }
  await begin({ hold: true });
  const listed: string[] = [];
  for await (const page of longrunning.listOperationsAsync({
    name: "operations",
    filter: "done = true",
    pageSize: 2,
  } as never)) {
    const { name, metadata } = page as { name: string; metadata: { type_url: string; value: Uint8Array } };
    listed.push(name);
    expect(metadata.type_url).toBe("type.googleapis.com/longhaul.v1.OperationInfo");
    expect(fromBinary(OperationInfoSchema, metadata.value).status).toBe(OperationStatus.COMPLETED);
  }
  expect(listed.toSorted()).toEqual(names.toSorted());
});
