import type { JsonObject } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { startScriptedHost } from "../support/scripted-host.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";
import { type CliResult, runCli, startCli } from "./run-cli.ts";

/** A server with test operations, and the command line aimed at it. */
async function startServerWithCli() {
  const { url, client } = await startTestServer({ orchestrators: [new TestServices()] });
  return {
    client,
    cli: (...args: string[]) => runCli(args, { LONGHAUL_SERVER: url }),
    start: (...args: string[]) => startCli(args, { LONGHAUL_SERVER: url }),
    /** Creates an operation past the command line. */
    create: async (operationType: string, parameters: JsonObject = {}, labels: Record<string, string> = {}) => {
      const { operation } = await client.createOperation({ operationType, labels, metadata: { parameters } });
      return operation?.operationId ?? "";
    },
    ended: async (operationId: string) => {
      await client.waitOperation({ operationId, untilDone: true });
    },
  };
}

describe("run", () => {
  test("makes an operation, writes its snapshots as JSON lines and ends with 0 when it completes", async () => {
    const { cli, client } = await startServerWithCli();
    const result = await cli(
      "run",
      "training",
      "--name",
      "nightly",
      "--symbol",
      "AAPL",
      "--label",
      "a=b",
      "--param",
      "records=2",
    );
    expect(result).toMatchObject({ code: 0, stderr: "" });
    const lines = result.json();
    expect(lines.at(-1)).toMatchObject({
      operationName: "nightly",
      status: "OPERATION_STATUS_COMPLETED",
      labels: { a: "b" },
      metadata: { symbol: "AAPL", parameters: { records: 2 } },
      progress: { percentage: 100 },
      resultSummary: { records: 2 },
    });
    const revisions = lines.map(({ revision }) => BigInt(String(revision)));
    expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => Number(a - b)));
    expect((await client.countOperations({})).total).toBe(1n);
  });

  test("ends with 1 when the operation fails, and its last line says why", async () => {
    const { cli } = await startServerWithCli();
    const result = await cli("run", "training", "--param", "error=out of memory");
    expect(result.code).toBe(1);
    expect(result.json().at(-1)).toMatchObject({
      status: "OPERATION_STATUS_FAILED",
      error: { message: "out of memory" },
    });
  });

  test("makes one operation when the create has to be sent again", async () => {
    const requestIds: string[] = [];
    const operation = { operationId: "op_1", status: OperationStatus.COMPLETED, revision: 1n };
    const host = await startScriptedHost({
      createOperation: ({ requestId }) => {
        requestIds.push(requestId);
        if (requestIds.length === 1) throw new ConnectError("not now", Code.Unavailable);
        return { operation };
      },
      getOperation: () => ({ operation }),
    });
    expect(await runCli(["--server", host.url, "run", "training"])).toMatchObject({ code: 0 });
    expect(requestIds).toHaveLength(2);
    expect(requestIds[0]).toMatch(/./);
    expect(requestIds[1]).toBe(requestIds[0]);
  });
});

describe("watch", () => {
  test("ends with 3 when the operation was cancelled", async () => {
    const { cli, create, client } = await startServerWithCli();
    const operationId = await create("training", { hold: true });
    await client.cancelOperation({ operationId, reason: "enough" });
    const result = await cli("watch", operationId);
    expect(result.code).toBe(3);
    expect(result.json().at(-1)).toMatchObject({
      status: "OPERATION_STATUS_CANCELLED",
      cancellation: { reason: "enough" },
    });
  });
});

describe("the commands of one operation", () => {
  test("show, retry and delete it", async () => {
    const { cli, create, ended } = await startServerWithCli();
    const id = await create("training", { error: "once" });
    await ended(id);
    expect((await cli("get", id)).json()).toMatchObject([{ operationId: id, status: "OPERATION_STATUS_FAILED" }]);
    const retried = (await cli("retry", id)).json();
    expect(retried).toMatchObject([{ retryOf: id, attempt: 2 }]);
    expect((await cli("delete", id)).json()).toEqual([{ deleted: id }]);
    const gone = await cli("get", id);
    expect(gone).toMatchObject({ code: 1, stdout: "" });
    expect(gone.stderr).toMatch(/^longhaul: .*\(OPERATION_NOT_FOUND\)\n$/);
  });

  test("create says once what is asked twice with one --request-id", async () => {
    const { cli } = await startServerWithCli();
    const results = await Promise.all([1, 2].map(() => cli("create", "training", "--request-id", "once")));
    const [first, second] = results.map((result) => result.json()[0]?.["operationId"]);
    expect(first).toMatch(/^op_training_/);
    expect(second).toBe(first);
  });

  test("cancel --force settles it at once", async () => {
    const { cli, create } = await startServerWithCli();
    const id = await create("training", { hold: true });
    expect((await cli("cancel", id, "--reason", "enough", "--force")).json()).toMatchObject([
      { operationId: id, status: "OPERATION_STATUS_CANCELLED", cancellation: { forced: true } },
    ]);
  });
});

describe("list", () => {
  test("filters, and goes on where the page before ended", async () => {
    const { cli, create, ended } = await startServerWithCli();
    const first = await create("training", {}, { team: "a" });
    await ended(first);
    const second = await create("training", { hold: true }, { team: "a" });
    await create("data_load", {}, { team: "a" });
    await create("training", {}, { team: "b" });
    const list = (...args: string[]) => cli("list", "--type", "training", "--label", "team=a", ...args);
    const ids = (result: CliResult) => result.json().map(({ operationId }) => operationId);
    const [all, completed, live, page] = await Promise.all([
      list(),
      list("--status", "completed"),
      list("--status", "PENDING", "--status", "running"),
      list("--limit", "1"),
    ]);
    expect([all, completed, live, page].map(ids)).toEqual([[second, first], [first], [second], [second]]);
    const token = /--page-token (\S+)/.exec(page.stderr)?.[1] ?? "";
    const rest = await list("--limit", "1", "--page-token", token);
    expect(ids(rest)).toEqual([first]);
    expect(rest.stderr).toBe("");
  });
});

describe("metrics", () => {
  test("are one record a line, from a cursor, or the newest", async () => {
    const { cli, create, ended } = await startServerWithCli();
    const id = await create("backtesting", { records: 4 });
    await ended(id);
    const lines = async (...args: string[]) =>
      (await cli("metrics", id, ...args)).json().map(({ kind, sequence }) => `${kind} ${sequence}`);
    const all = ["bar 1", "bar 2", "trade 3", "bar 4", "bar 5", "trade 6"];
    expect(
      await Promise.all([lines(), lines("--limit", "2"), lines("--cursor", "4"), lines("--latest", "--limit", "2")]),
    ).toEqual([all, all, all.slice(4), all.slice(4)]);
  });

  test("followed, come to the operation's end, each once", async () => {
    const { cli, create } = await startServerWithCli();
    const id = await create("training", { records: 12, delayMs: 60 });
    const result = await cli("metrics", id, "--follow");
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.json().map(({ epoch }) => epoch)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(result.json()[0]).toMatchObject({ kind: "epoch", trainLoss: "Infinity" });
  });

  test("are no error for a reader that has seen enough", async () => {
    const { start, create, ended } = await startServerWithCli();
    const id = await create("training", { records: 5_000 });
    await ended(id);
    const command = start("metrics", id, "--limit", "100");
    await command.said('"sequence":"1"');
    command.closeStdout();
    expect(await command.result).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("a server", () => {
  test("that refuses is quoted in one line, with 1", async () => {
    const { cli } = await startServerWithCli();
    const result = await cli("run", "juggling");
    expect(result).toMatchObject({ code: 1, stdout: "" });
    expect(result.stderr).toMatch(/^longhaul: .*"juggling".*\(UNKNOWN_OPERATION_TYPE\)\n$/);
  });
});
