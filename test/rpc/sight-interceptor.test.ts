import { Code, ConnectError, createContextValues, type StreamRequest, type StreamResponse } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { OperationsService } from "../../gen/longhaul/v1/operations_service_pb.ts";
import type { RecordedCall } from "../../src/rpc/call-recorder.ts";
import { createSightInterceptor } from "../../src/rpc/sight-interceptor.ts";

/** Runs a stream that answers with some messages through the interceptor; answers what comes out and what is recorded. */
async function stream(messages: () => AsyncIterable<object>) {
  const recorded: RecordedCall[] = [];
  const interceptor = createSightInterceptor({
    began: () => {},
    ended: (call) => recorded.push(call),
    refused: () => {},
  });
  const request = {
    stream: true,
    service: OperationsService,
    method: OperationsService.method.getOperation,
    header: new Headers({ "content-type": "application/grpc-web+proto" }),
    contextValues: createContextValues(),
    signal: new AbortController().signal,
    message: (async function* () {})(),
  } as unknown as StreamRequest;
  const response = (await interceptor(async () => ({ stream: true, message: messages() }) as unknown as StreamResponse)(
    request,
  )) as StreamResponse;
  return { messages: response.message, recorded };
}

describe("a call that answers with a stream", () => {
  test("is recorded when the stream is over, and not before", async () => {
    const { messages, recorded } = await stream(async function* () {
      yield { number: 1 };
      yield { number: 2 };
    });
    const seen: unknown[] = [];
    for await (const message of messages) {
      expect(recorded).toEqual([]);
      seen.push(message);
    }
    expect(seen).toEqual([{ number: 1 }, { number: 2 }]);
    expect(recorded).toMatchObject([{ protocol: "grpc-web", caller: "anonymous", error: undefined }]);
  });

  test("is recorded with the error that ends it", async () => {
    const { messages, recorded } = await stream(async function* () {
      yield { number: 1 };
      throw new ConnectError("no more", Code.ResourceExhausted);
    });
    const read = async () => {
      for await (const message of messages) {
        expect(message).toEqual({ number: 1 });
      }
    };
    await expect(read()).rejects.toThrow("no more");
    expect(recorded).toMatchObject([{ error: { code: Code.ResourceExhausted } }]);
  });

  test("is recorded when the caller leaves it", async () => {
    const { messages, recorded } = await stream(async function* () {
      yield { number: 1 };
      yield { number: 2 };
    });
    for await (const _ of messages) {
      break;
    }
    expect(recorded).toHaveLength(1);
  });
});
