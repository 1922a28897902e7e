import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { createContextValues, type HandlerContext } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { OperationInfoSchema } from "../../gen/longhaul/v1/operation_pb.ts";
import { GetOperationRequestSchema, GetOperationResponseSchema } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { OperationStore } from "../../src/operations/operation-store.ts";
import { encodedOnce } from "../../src/rpc/encoded-answers.ts";
import { createOperationsHandlers } from "../../src/rpc/operations-handlers.ts";
import { PollAnswers } from "../../src/rpc/poll-answers.ts";
import { startTestRegistry } from "../support/test-registry.ts";

const snapshot = () => create(OperationInfoSchema, { operationId: "op_1", revision: 7n });

describe("answers to polls", () => {
  test("are made once for a snapshot, and anew for the next one or when other advice is given", () => {
    const answers = new PollAnswers(GetOperationResponseSchema);
    const [info, advice] = [snapshot(), durationFromMs(250)];
    const answer = answers.of(info, false, advice);
    expect(answer).toMatchObject({ operation: { operationId: "op_1" }, notModified: false, pollAfter: advice });
    expect(answers.of(info, false, advice)).toBe(answer);
    const known = answers.of(info, true, advice);
    expect(known.notModified).toBe(true);
    expect(known.operation).toBeUndefined();
    expect(answers.of(info, true, advice)).toBe(known);
    expect(answers.of(info, false, advice)).toBe(answer);
    expect(answers.of(info, false, durationFromMs(500)).pollAfter).toEqual(durationFromMs(500));
    expect(answers.of({ ...info }, false, advice)).not.toBe(answer);
  });

  test("are encoded once for each form, which other answers are not", () => {
    const kept = new PollAnswers(GetOperationResponseSchema).of(snapshot(), false, undefined);
    const encode = () => new Uint8Array(1);
    const bytes = encodedOnce(kept, "grpc", encode);
    expect(encodedOnce(kept, "grpc", encode)).toBe(bytes);
    expect(encodedOnce(kept, "json", encode)).not.toBe(bytes);
    const other = create(GetOperationResponseSchema);
    expect(encodedOnce(other, "grpc", encode)).not.toBe(encodedOnce(other, "grpc", encode));
  });

  test("do not touch the store for a caller who has the revision, of an operation that runs or has ended", async () => {
    let calls = 0;
    const counted = (store: OperationStore): OperationStore =>
      new Proxy(store, {
        get(target, name) {
          const value = Reflect.get(target, name, target);
          return typeof value === "function"
            ? (...args: unknown[]) => {
                calls += 1;
                return value.apply(target, args);
              }
            : value;
        },
      });
    const { operations } = await startTestRegistry({ wrapStore: counted });
    const { getOperation } = createOperationsHandlers(() => operations);
    const context = { values: createContextValues() } as HandlerContext;
    const { operationId } = await operations.createOperation({ operationType: "training" });
    await operations.startOperation(operationId);
    for (const end of [async () => {}, () => operations.completeOperation(operationId)]) {
      await end();
      const { revision: knownRevision } = await operations.getOperation(operationId);
      calls = 0;
      const request = create(GetOperationRequestSchema, { operationId, knownRevision });
      expect(await getOperation(request, context)).toMatchObject({ notModified: true });
      expect(calls).toBe(0);
    }
  });
});
