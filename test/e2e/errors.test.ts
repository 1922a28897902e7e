import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, onTestFinished, test } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import type { CreateOperationRequestSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import { startServer } from "../../src/server.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import type { OperationsClient } from "../support/test-client.ts";
import { testConfig } from "../support/test-config.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";

const server = () => startTestServer({ orchestrators: [new TestServices()] });
const huge = 9_223_372_036_854_775_807n;
const nobody = "op_nobody";

interface Refused {
  readonly code: Code;
  readonly reason: string;
  /** Field of the violation; none for errors that are not about a field. */
  readonly field?: string;
  readonly message: string | RegExp;
}

async function expectRefused(call: Promise<unknown>, { code, reason, field, message }: Refused): Promise<void> {
  const failure = await call.then(
    () => Promise.reject(new Error("the call was not refused")),
    (error: unknown) => ConnectError.from(error),
  );
  expect(failure.rawMessage).toMatch(message);
  expect(failure.rawMessage).not.toContain("\n    at ");
  expect(failure.code).toBe(code);
  expect(failure.findDetails(ErrorInfoSchema)).toMatchObject([{ reason, domain: "longhaul" }]);
  const violations = failure.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
  expect(violations.map((violation) => violation.field)).toEqual(field === undefined ? [] : [field]);
}

const invalid = (field: string, message: string | RegExp): Refused => ({
  code: Code.InvalidArgument,
  reason: "INVALID_FIELD",
  field,
  message,
});

type Case = [string, (client: OperationsClient) => Promise<unknown>, Refused];
type Creation = MessageInitShape<typeof CreateOperationRequestSchema>;

const creation = (init: Creation) => (client: OperationsClient) =>
  client.createOperation({ operationType: "training", ...init } as Creation);

describe("a bad request gets one error that names the thing:", () => {
  const cases: Case[] = [
    [
      "an unknown type",
      (client) => client.createOperation({ operationType: "trainin" }),
      {
        code: Code.InvalidArgument,
        reason: "UNKNOWN_OPERATION_TYPE",
        field: "operation_type",
        message: /^operation_type: "trainin" is not served here; the types are backtesting, custom, data_load/,
      },
    ],
    [
      "no type",
      (client) => client.createOperation({}),
      {
        code: Code.InvalidArgument,
        reason: "UNKNOWN_OPERATION_TYPE",
        field: "operation_type",
        message: /"" is not served/,
      },
    ],
    [
      "a malformed id",
      (client) => client.getOperation({ operationId: "x y" }),
      invalid("operation_id", /^operation_id: "x y" is not/),
    ],
    ["no id", (client) => client.getMetrics({}), invalid("operation_id", /^operation_id: "" is not an operation id/)],
    [
      "an id of a megabyte",
      (client) => client.getOperation({ operationId: "x".repeat(2 ** 20) }),
      invalid("operation_id", /^.{1,300}$/),
    ],
    [
      "a malformed id of many",
      (client) => client.batchGetOperations({ operations: [{ operationId: "op_a" }, { operationId: "?" }] }),
      invalid("operations[1].operation_id", /"\?"/),
    ],
    ["no ids", (client) => client.batchGetOperations({}), invalid("operations", /has 0 entries/)],
    [
      "1001 ids",
      (client) =>
        client.batchGetOperations({ operations: Array.from({ length: 1_001 }, () => ({ operationId: "op_a" })) }),
      invalid("operations", /has 1001 entries/),
    ],
    ["an own id that is malformed", creation({ operationId: "mine" }), invalid("operation_id", /"mine"/)],
    [
      "negative steps",
      creation({ totalSteps: -1n }),
      invalid("total_steps", /^total_steps: -1 must be greater than or equal to 0/),
    ],
    [
      "enormous steps",
      creation({ totalSteps: huge }),
      invalid("total_steps", /9223372036854775807 must be .* less than or equal to 9007199254740991/),
    ],
    ["a negative retention", creation({ retention: durationFromMs(-1_000) }), invalid("retention", /out of range/)],
    [
      "an enormous timeout",
      creation({ executionTimeout: { seconds: huge } }),
      invalid("execution_timeout", /out of range/),
    ],
    [
      "too many labels",
      creation({ labels: Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`k${index}`, ""])) }),
      invalid("labels", /has 65 entries; map must be at most 64/),
    ],
    [
      "overlapping phases",
      creation({
        phases: [
          { name: "a", toPercentage: 60 },
          { name: "b", fromPercentage: 50, toPercentage: 100 },
        ],
      }),
      invalid("phases[1]", /"b" goes from 50 to 100/),
    ],
    [
      "a negative staleness",
      (client) => client.getOperation({ operationId: nobody, maxStaleness: durationFromMs(-1) }),
      invalid("max_staleness", /out of range/),
    ],
    [
      "a negative wait",
      (client) => client.waitOperation({ operationId: nobody, timeout: durationFromMs(-1) }),
      invalid("timeout", /out of range/),
    ],
    [
      "a negative page size",
      (client) => client.listOperations({ pageSize: -1 }),
      invalid("page_size", /-1 must be greater than or equal to 0/),
    ],
    [
      "a negative record count",
      (client) => client.getMetrics({ operationId: nobody, maxRecords: -5 }),
      invalid("max_records", /-5 must be greater than or equal to 0/),
    ],
    [
      "an enormous cursor",
      (client) => client.getMetrics({ operationId: nobody, cursor: 2n ** 64n - 1n }),
      invalid("cursor", /18446744073709551615 must be less than or equal to 9007199254740991/),
    ],
    [
      "an unknown status",
      (client) => client.listOperations({ filter: { statuses: [99 as never] } }),
      invalid("filter.statuses[0]", /99 is not a status; the statuses are PENDING/),
    ],
    [
      "an unknown status to count",
      (client) => client.countOperations({ filter: { statuses: [0] } }),
      invalid("filter.statuses[0]", /0 is not a status/),
    ],
    [
      "a foreign page token",
      (client) => client.listOperations({ pageToken: "bm90IG91cnM" }),
      {
        code: Code.InvalidArgument,
        reason: "INVALID_PAGE_TOKEN",
        field: "page_token",
        message: /^page_token: not a token of this service/,
      },
    ],
    [
      "an empty reason",
      (client) => client.cancelOperation({ operationId: nobody, reason: " " }),
      invalid("reason", /^reason: ".?" is empty; say why/),
    ],
    [
      "an overlong reason",
      (client) => client.cancelOperation({ operationId: nobody, reason: "x".repeat(1_025) }),
      invalid("reason", /has 1025 characters/),
    ],
    [
      "no filter of many",
      (client) => client.cancelOperations({ reason: "no" }),
      invalid("filter", /^filter: is required/),
    ],
    [
      "an empty filter of many",
      (client) => client.cancelOperations({ reason: "no", filter: {} }),
      invalid("filter", /^filter: has no condition/),
    ],
    [
      "no reason for many",
      (client) => client.cancelOperations({ filter: { statuses: [1] } }),
      invalid("reason", /^reason: ".?" is empty; say why/),
    ],
    [
      "an operation that is not there",
      (client) => client.getOperation({ operationId: nobody }),
      { code: Code.NotFound, reason: "OPERATION_NOT_FOUND", message: "operation op_nobody does not exist" },
    ],
    [
      "a parent that is not there",
      creation({ parentOperationId: nobody }),
      { code: Code.NotFound, reason: "OPERATION_NOT_FOUND", message: "operation op_nobody does not exist" },
    ],
  ];

  test("all that is wrong is told, each with its field", async () => {
    const { client } = await server();
    const failure = await client
      .createOperation({
        operationType: "training",
        operationId: "mine",
        labels: { "a b": "x".repeat(257) },
        totalSteps: -1n,
        metadata: { startDate: { seconds: 2n }, endDate: { seconds: 1n } },
      })
      .catch(ConnectError.from);
    const [details] = (failure as ConnectError).findDetails(BadRequestSchema);
    expect(details?.fieldViolations.map(({ field, description }) => `${field}: ${description}`)).toEqual([
      "metadata: has an end_date before its start_date",
      'labels["a b"]: "a b" is not a label key; 1 to 63 letters, digits and "_./-", a letter or digit first',
      'labels["a b"]: has 257 characters; must be at most 256 characters',
      'operation_id: "mine" is not an operation id; they look like "op_training_20250120_093000_4k2m8x"',
      "total_steps: -1 must be greater than or equal to 0 and less than or equal to 9007199254740991",
    ]);
    expect((failure as ConnectError).rawMessage).toBe("metadata: has an end_date before its start_date; and 4 more");
  });

  test("an answer has room for the errors of a thousand fields", async () => {
    const { client } = await server();
    const operations = Array.from({ length: 1_000 }, () => ({ operationId: "?".repeat(100) }));
    const failure = await client.batchGetOperations({ operations }).catch(ConnectError.from);
    expect(failure).toMatchObject({ code: Code.InvalidArgument, rawMessage: expect.stringMatching(/; and 999 more$/) });
    expect([...(failure as ConnectError).metadata].join("").length).toBeLessThan(8_000);
  });

  test("a list that is too long is refused before its elements are looked at", async () => {
    const { client } = await server();
    const statuses = new Array(1_000_000).fill(99);
    await expectRefused(
      client.listOperations({ filter: { statuses } }),
      invalid("filter.statuses", /^filter\.statuses: has 1000000 entries; must contain no more than 100/),
    );
  });

  test.each(cases)("%s", async (_, call, refused) => {
    const { client } = await server();
    await expectRefused(call(client), refused);
    expect((await client.countOperations({})).total).toBe(0n);
  });

  test("a page token of another filter", async () => {
    const { client } = await server();
    await client.createOperation({ operationType: "training" });
    await client.createOperation({ operationType: "training" });
    const { nextPageToken } = await client.listOperations({ pageSize: 1 });
    await expectRefused(client.listOperations({ pageToken: nextPageToken, filter: { operationTypes: ["training"] } }), {
      code: Code.InvalidArgument,
      reason: "INVALID_PAGE_TOKEN",
      field: "page_token",
      message: /another filter/,
    });
  });

  test("a status that does not allow the call", async () => {
    const { client } = await server();
    const { operation } = await client.createOperation({
      operationType: "training",
      metadata: { parameters: { hold: true } },
    });
    const operationId = operation?.operationId ?? "";
    await expectRefused(client.deleteOperation({ operationId }), {
      code: Code.FailedPrecondition,
      reason: "OPERATION_NOT_TERMINAL",
      message: `operation ${operationId} has not ended; cancel it first`,
    });
    await expectRefused(client.retryOperation({ operationId }), {
      code: Code.FailedPrecondition,
      reason: "OPERATION_NOT_RETRYABLE",
      message: `operation ${operationId} has neither failed nor been cancelled`,
    });
  });
});

describe("over JSON", () => {
  const post = (url: string, method: string, body: string) =>
    fetch(`${url}/longhaul.v1.OperationsService/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });

  test.each<[string, string, string, string]>([
    ["a negative number", "CreateOperation", '{"operationType":"training","totalSteps":-1}', "total_steps"],
    [
      "an enormous duration",
      "CreateOperation",
      '{"operationType":"training","retention":"315576000000s"}',
      "retention",
    ],
    ["an unknown status number", "ListOperations", '{"filter":{"statuses":[77]}}', "filter.statuses[0]"],
    ["an empty reason", "CancelOperation", '{"operationId":"op_a"}', "reason"],
  ])("%s is refused with the field and all details", async (_, method, body, field) => {
    const { url } = await server();
    const response = await post(url, method, body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      code: "invalid_argument",
      message: expect.stringMatching(`^${field.replace("[", "\\[")}: `),
      details: [
        { type: "google.rpc.ErrorInfo", debug: { domain: "longhaul", reason: "INVALID_FIELD" } },
        { type: "google.rpc.BadRequest", debug: { fieldViolations: [{ field }] } },
      ],
    });
  });

  test.each<[string, string, string, string]>([
    ["a number beyond 64 bits", "CreateOperation", '{"operationType":"training","totalSteps":"1e30"}', "total_steps"],
    ["a negative cursor", "GetMetrics", '{"operationId":"op_a","cursor":-1}', "cursor"],
    ["an enormous page size", "ListOperations", '{"pageSize":1e12}', "page_size"],
    ["an unknown status name", "ListOperations", '{"filter":{"statuses":["DONE"]}}', '"DONE"'],
    [
      "a misspelt field",
      "CancelOperations",
      '{"reason":"no","filter":{"operationTypes":["training"],"label":{}}}',
      '"label"',
    ],
    ["a malformed time", "ListOperations", '{"filter":{"createdAfter":"yesterday"}}', "Timestamp"],
    ["no JSON at all", "GetOperation", "{operationId", "JSON"],
  ])("%s is refused and named before any work is done", async (_, method, body, named) => {
    const { url } = await server();
    const response = await post(url, method, body);
    expect(response.status).toBe(400);
    const { code, message } = (await response.json()) as { code: string; message: string };
    expect(code).toBe("invalid_argument");
    expect(message).toContain(named);
  });
});

describe("a start that cannot succeed", () => {
  /** Starts it, expects the message, and shows that nothing was left open by starting rightly with the same folder. */
  async function expectNoStart(
    settings: Parameters<typeof testConfig>[1],
    message: (dataDir: string) => string | RegExp,
  ): Promise<void> {
    const dataDir = await temporaryDirectory();
    await expect(startServer(testConfig(dataDir, settings))).rejects.toThrow(message(dataDir));
    const { stop } = await startServer(testConfig(dataDir));
    await stop();
  }

  test("for a services module that does not exist", async () => {
    await expectNoStart(
      { services: "/nowhere/services.ts" },
      () => /^services module \/nowhere\/services\.ts cannot be loaded: /,
    );
  });

  test("for a services module that throws or exports no orchestrator", async () => {
    const folder = await temporaryDirectory();
    const write = async (name: string, source: string) => {
      await writeFile(join(folder, name), source);
      return join(folder, name);
    };
    const throwing = await write("throwing.mjs", 'throw new Error("no database")');
    await expectNoStart({ services: throwing }, () => `services module ${throwing} cannot be loaded: no database`);
    const empty = await write("empty.mjs", "export {}");
    await expectNoStart(
      { services: empty },
      () => `services module ${empty} exports no ServiceOrchestrator; it exports nothing`,
    );
    const other = await write("other.mjs", "export const a = 1, b = 2");
    await expectNoStart({ services: other }, () => /exports no ServiceOrchestrator; it exports a, b$/);
  });

  test("for a port that is in use", async () => {
    const first = await server();
    await expectNoStart({ port: first.port }, () => `cannot listen on 127.0.0.1:${first.port}: the port is in use`);
    expect((await first.client.countOperations({})).total).toBe(0n);
  });

  test("for an address that is not this machine's", async () => {
    await expectNoStart({ listenHost: "192.0.2.1", insecure: true }, () => /^cannot listen on 192\.0\.2\.1:0: /);
  });

  test("for a data directory that cannot be made", async () => {
    const file = join(await temporaryDirectory(), "file");
    await writeFile(file, "");
    await expect(startServer(testConfig(join(file, "data")))).rejects.toThrow(
      `the data directory ${join(file, "data")} cannot be created`,
    );
  });

  test("for a data directory that another server uses", async () => {
    const dataDir = await temporaryDirectory();
    const first = await startServer(testConfig(dataDir));
    onTestFinished(() => first.stop());
    await expect(startServer(testConfig(dataDir))).rejects.toThrow(
      `the database ${join(dataDir, "longhaul.sqlite")} is used by another longhaul server`,
    );
    await first.stop();
    const second = await startServer(testConfig(dataDir));
    await second.stop();
  });

  test("for a store that is no database", async () => {
    const dataDir = await temporaryDirectory();
    await writeFile(
      join(dataDir, "longhaul.sqlite"),
      "this is no database, but it is long enough to be looked at".repeat(9),
    );
    await expect(startServer(testConfig(dataDir))).rejects.toThrow(join(dataDir, "longhaul.sqlite"));
  });

  test("for a type that two orchestrators serve", async () => {
    const dataDir = await temporaryDirectory();
    const twice = { orchestrators: [new TestServices(), new TestServices()] };
    await expect(startServer(testConfig(dataDir), twice)).rejects.toThrow(
      "operation type training is served by two orchestrators",
    );
    const { stop } = await startServer(testConfig(dataDir));
    await stop();
  });
});

test("a stop tolerates a second call, and afterwards the port and the folder are free", async () => {
  const dataDir = await temporaryDirectory();
  const first = await startServer(testConfig(dataDir));
  await Promise.all([first.stop(), first.stop()]);
  await first.stop();
  const second = await startServer(testConfig(dataDir, { port: first.port }));
  expect(second.port).toBe(first.port);
  await second.stop();
});
