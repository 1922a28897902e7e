import { describe, expect, test } from "vitest";
import { OperationStatus } from "../../gen/longhaul/v1/operation_pb.ts";
import type { OperationDefinition } from "../../src/orchestrator/operation-context.ts";
import { ServiceOrchestrator } from "../../src/orchestrator/service-orchestrator.ts";
import { deadlineMs, operationIn, operationWhen } from "../support/operation-when.ts";
import type { OperationsClient } from "../support/test-client.ts";
import { startTestServer } from "../support/test-server.ts";

const { PENDING, RUNNING, COMPLETED, CANCELLED } = OperationStatus;

/**
 * Work that finds its operation through the orchestrator alone, several calls deep and after awaits: it reports the
 * step its parameters name until it is cancelled, and answers why.
 */
class SelfFinding extends ServiceOrchestrator {
  override readonly operations: Record<string, OperationDefinition> = {
    found: {
      operationFunc: async (_, { parameters }) => {
        await nextTurn();
        return this.#deeper(Number(parameters["step"]));
      },
    },
    threaded: { workerModule: new URL("../support/self-finding-worker.ts", import.meta.url) },
  };

  async #deeper(step: number) {
    await nextTurn();
    this.updateOperationProgress({ step, message: `step ${step}` });
    const reason = await this.getCurrentCancellationToken()?.waitForCancellation();
    this.updateOperationProgress({ step: step + 1, message: `cancelled: ${reason}` });
    return undefined;
  }
}

/** Operations of the type "work" wait for the test; those that began are listed. */
class Queued extends ServiceOrchestrator {
  override readonly maxConcurrentOperations = 2;
  readonly begun: string[] = [];
  readonly #ends = new Map<string, () => void>();
  override readonly operations: Record<string, OperationDefinition> = {
    work: {
      operationFunc: (operationId) => {
        this.begun.push(operationId);
        return new Promise((resolve) => this.#ends.set(operationId, () => resolve(undefined)));
      },
    },
  };

  end(operationId: string): void {
    this.#ends.get(operationId)?.();
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function createStep(client: OperationsClient, operationType: string, step: number) {
  const { operation } = await client.createOperation({
    operationType,
    totalSteps: 100n,
    metadata: { parameters: { step } },
  });
  return operation?.operationId ?? "";
}

describe("two operations of one orchestrator at once", { timeout: 30_000 }, () => {
  test.each(["found", "threaded"])("never see each other's token or progress (%s)", async (operationType) => {
    const { client } = await startTestServer({ orchestrators: [new SelfFinding()] });
    const [first, second] = await Promise.all([
      createStep(client, operationType, 10),
      createStep(client, operationType, 60),
    ]);
    const at = (operationId: string, step: number) =>
      operationWhen(client, operationId, ({ progress }) => progress?.currentStep === `step ${step}`);
    expect((await at(first, 10)).progress).toMatchObject({ stepsCompleted: 10n, percentage: 10 });
    expect((await at(second, 60)).progress).toMatchObject({ stepsCompleted: 60n, percentage: 60 });

    await client.cancelOperation({ operationId: first, reason: "only the first" });
    const ended = await operationIn(client, first, CANCELLED);
    expect(ended.progress).toMatchObject({ stepsCompleted: 11n, currentStep: "cancelled: only the first" });

    const { operation: other } = await client.getOperation({ operationId: second, maxStaleness: {} });
    expect(other).toMatchObject({ status: RUNNING, progress: { stepsCompleted: 60n, currentStep: "step 60" } });
    expect(other?.cancellation).toBeUndefined();
    await client.cancelOperation({ operationId: second, reason: "now the second" });
    const otherEnded = await operationIn(client, second, CANCELLED);
    expect(otherEnded.progress).toMatchObject({ stepsCompleted: 61n, currentStep: "cancelled: now the second" });
  });
});

describe("maxConcurrentOperations", { timeout: 30_000 }, () => {
  test("the rest wait PENDING, first come first served", async () => {
    const work = new Queued();
    const { client } = await startTestServer({ orchestrators: [work] });
    const ids: string[] = [];
    for (let index = 0; index < 6; index++) {
      const { operation } = await client.createOperation({ operationType: "work" });
      ids.push(operation?.operationId ?? "");
    }
    const statuses = async () => {
      const { operations } = await client.batchGetOperations({
        operations: ids.map((operationId) => ({ operationId })),
      });
      return operations.map(({ status }) => status);
    };
    await expect
      .poll(statuses, { timeout: deadlineMs })
      .toEqual([RUNNING, RUNNING, PENDING, PENDING, PENDING, PENDING]);
    expect(work.begun).toEqual(ids.slice(0, 2));

    const [, second = "", third = "", fourth = "", fifth = "", sixth = ""] = ids;
    work.end(second);
    await operationIn(client, third, RUNNING);
    expect(await statuses()).toEqual([RUNNING, COMPLETED, RUNNING, PENDING, PENDING, PENDING]);
    await client.cancelOperation({ operationId: fourth, reason: "gives up its place" });
    work.end(third);
    await operationIn(client, fifth, RUNNING);
    expect(await statuses()).toEqual([RUNNING, COMPLETED, COMPLETED, CANCELLED, RUNNING, PENDING]);
    work.end(fifth);
    await operationIn(client, sixth, RUNNING);
    expect(work.begun).toEqual([...ids.slice(0, 3), fifth, sixth]);
    work.end(ids[0] ?? "");
    work.end(sixth);
    await operationIn(client, sixth, COMPLETED);
    await operationIn(client, ids[0] ?? "", COMPLETED);
  });
});
