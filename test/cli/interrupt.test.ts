import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { startScriptedHost } from "../support/scripted-host.ts";
import { startTestServer } from "../support/test-server.ts";
import { TestServices } from "../support/test-services.ts";
import { startCli } from "./run-cli.ts";

const { RUNNING, CANCELLED } = OperationStatus;

/** A host that keeps "op_1" running until it is told otherwise; cancelling it is noted. */
async function startStubbornHost(beforeCreate: () => Promise<void> = async () => undefined) {
  let operation = { operationId: "op_1", status: RUNNING as OperationStatus, revision: 1n };
  const reasons: string[] = [];
  const host = await startScriptedHost({
    createOperation: async () => {
      await beforeCreate();
      return { operation };
    },
    getOperation: () => ({ operation }),
    cancelOperation: ({ reason }) => {
      reasons.push(reason);
      return { operation };
    },
  });
  const end = () => {
    operation = { ...operation, status: CANCELLED, revision: 2n };
  };
  return { url: host.url, reasons, end };
}

describe("Ctrl+C during run", () => {
  test("cancels the operation, waits for its acknowledgement and ends with 3", async () => {
    const { url, client } = await startTestServer({ orchestrators: [new TestServices()] });
    const command = startCli(["--server", url, "run", "training", "--param", "hold=true"]);
    await command.said("OPERATION_STATUS_RUNNING");
    command.kill("SIGINT");
    const result = await command.result;
    expect(result.code).toBe(3);
    expect(result.stderr).toContain("press Ctrl+C again to leave");
    const { operations } = await client.listOperations({});
    expect(operations).toMatchObject([
      { status: CANCELLED, cancellation: { reason: "interrupted at the terminal", forced: false } },
    ]);
  });

  test("a second time leaves with 130, and says how to go on", async () => {
    const host = await startStubbornHost();
    const command = startCli(["--server", host.url, "run", "training"]);
    await command.said("op_1");
    command.kill("SIGINT");
    await command.said("press Ctrl+C again");
    command.kill("SIGINT");
    const result = await command.result;
    expect(result.code).toBe(130);
    expect(result.stderr).toContain("longhaul watch op_1");
  });

  test("before the server has answered cancels the operation as soon as it has", async () => {
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<void>();
    const host = await startStubbornHost(() => {
      asked.resolve();
      return answer.promise;
    });
    const command = startCli(["--server", host.url, "run", "training"]);
    await asked.promise;
    command.kill("SIGINT");
    await command.said("press Ctrl+C again");
    answer.resolve();
    await command.said("op_1");
    host.end();
    expect((await command.result).code).toBe(3);
    expect(host.reasons).toEqual(["interrupted at the terminal"]);
  });
});

describe("Ctrl+C during watch", () => {
  test("leaves the operation running and says how to stop it", async () => {
    const { url, client } = await startTestServer({ orchestrators: [new TestServices()] });
    const { operation } = await client.createOperation({
      operationType: "training",
      metadata: { parameters: { hold: true } },
    });
    const operationId = operation?.operationId ?? "";
    const command = startCli(["--server", url, "watch", operationId]);
    await command.said("OPERATION_STATUS_RUNNING");
    command.kill("SIGINT");
    const result = await command.result;
    expect(result.code).toBe(0);
    expect(result.stderr).toContain(`longhaul cancel ${operationId}`);
    expect((await client.getOperation({ operationId })).operation?.status).toBe(RUNNING);
  });
});
