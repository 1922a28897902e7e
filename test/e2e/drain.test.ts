import { expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import { startServer } from "../../src/server.ts";
import { connectHealthClient } from "../support/health-client.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { connectTestClient } from "../support/test-client.ts";
import { testConfig } from "../support/test-config.ts";
import { testServices } from "../support/test-services.ts";

test("a stop is told of first; everything is served until the grace is over, and waits are answered early", async () => {
  const drainGraceMs = 400;
  const server = await startServer(testConfig(await temporaryDirectory(), { drainGraceMs }), {
    orchestrators: [testServices],
  });
  const client = connectTestClient(server.url);
  const health = connectHealthClient(server.url);
  expect(await health.check("")).toBe("SERVING");
  const { operation } = await client.createOperation({
    operationType: "training",
    metadata: { parameters: { hold: true } },
  });
  const operationId = operation?.operationId ?? "";
  const waiting = client.waitOperation({ operationId, untilDone: true });
  const stopped = server.stop();
  expect(await health.check("")).toBe("NOT_SERVING");

  const late = await client.createOperation({ operationType: "training" });
  expect(late.operation?.operationId).toMatch(/^op_training_/);
  expect((await client.getOperation({ operationId })).operation?.cancellation).toBeUndefined();

  const answer = await waiting;
  expect(answer.operation?.status ?? OperationStatus.CANCELLED).toBe(OperationStatus.CANCELLED);
  await Promise.all([stopped, server.stop()]);
  await expect(connectTestClient(server.url).getOperation({ operationId }, { timeoutMs: 1_000 })).rejects.toThrow();
});
