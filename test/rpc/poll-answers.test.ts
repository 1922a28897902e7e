import { create, toJson } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { createContextValues, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { pino } from "pino";
import { describe, expect, onTestFinished, test } from "vitest";
import { OperationInfoSchema } from "../../gen/longhaul/v1/operation_pb.ts";
import {
  GetOperationRequestSchema,
  GetOperationResponseSchema,
  OperationsService,
} from "../../gen/longhaul/v1/operations_service_pb.ts";
import { listen } from "../../src/listener/listener.ts";
import type { OperationStore } from "../../src/operations/operation-store.ts";
import { encodedOnce } from "../../src/rpc/encoded-answers.ts";
import { createFastLane } from "../../src/rpc/fast-lane/fast-lane.ts";
import type { Encoded } from "../../src/rpc/fast-lane/lane-protocol.ts";
import { acceptCompression } from "../../src/rpc/node-adapter.ts";
import { createOperationsHandlers } from "../../src/rpc/operations-handlers.ts";
import { PollAnswers } from "../../src/rpc/poll-answers.ts";
import { listenerLimits } from "../support/listener-limits.ts";
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

  test("are encoded once for all who ask in JSON over HTTP/1.1", async () => {
    const answer = new PollAnswers(GetOperationResponseSchema).of(snapshot(), false, undefined);
    const others = createOperationsHandlers(() => {
      throw new Error("only GetOperation is called");
    });
    const implementation: ServiceImpl<typeof OperationsService> = { ...others, getOperation: async () => answer };
    const { handler } = createFastLane((_, response) => response.destroy(), {
      services: [{ service: OperationsService, implementation }],
      interceptors: [],
      ...{ acceptCompression, readMaxBytes: 4_096, writeMaxBytes: 4_096, jsonOptions: {} },
      contextValues: () => createContextValues(),
      onRefused: () => {},
      log: pino({ level: "silent" }),
    });
    const listener = await listen(handler, { host: "127.0.0.1", port: 0, limits: listenerLimits() });
    onTestFinished(() => listener.close(0));
    const get = async () => {
      const response = await fetch(`http://127.0.0.1:${listener.port}/longhaul.v1.OperationsService/GetOperation`, {
        method: "POST",
        headers: { "content-type": "application/json", "accept-encoding": "identity" },
        body: "{}",
      });
      return response.json();
    };
    expect(await get()).toEqual(toJson(GetOperationResponseSchema, answer));
    const { bytes } = encodedOnce<Encoded>(answer, "application/json", () => {
      throw new Error("the encoding is not kept");
    });
    // What is written over the kept bytes can be read only by those who are sent them.
    bytes.fill(" ".charCodeAt(0)).set(Buffer.from('"kept"'));
    expect(await get()).toBe("kept");
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
