import type { ConnectError, Interceptor, StreamRequest, UnaryRequest } from "@connectrpc/connect";
import type { Logger } from "pino";
import { CallError } from "../operations/errors.ts";
import { connectErrorFrom } from "./call-errors.ts";
import { originKey, readOrigin } from "./read-origin.ts";

/** What every call goes through: it learns how it came here, and whatever it throws becomes one kind of error. */
export function createEdgeInterceptor(instanceId: string, maxHops: number, log: Logger): Interceptor {
  const answerFor = (failure: unknown, request: UnaryRequest | StreamRequest): ConnectError => {
    const error = isAbort(failure) && request.signal.aborted ? request.signal.reason : failure;
    const answer = connectErrorFrom(error, isRepeatable(request));
    if (error instanceof CallError ? error.details.cause !== undefined : error === failure) {
      log.error({ err: error, method: request.method.name, code: answer.code }, "a call failed");
    }
    return answer;
  };
  return (next) => async (request) => {
    try {
      request.contextValues.set(originKey, readOrigin(request.header, instanceId, maxHops));
      const response = await next(request);
      return response.stream
        ? { ...response, message: failingWith(response.message, (error) => answerFor(error, request)) }
        : response;
    } catch (error) {
      throw answerFor(error, request);
    }
  };
}

/** What timers and waits of Node.js throw when the signal of a call ends them; the signal knows why. */
function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

/** Whether a call that is made again does its work once: not if it leaves the request_id empty that would see to it. */
function isRepeatable(request: UnaryRequest | StreamRequest): boolean {
  return request.stream || !("requestId" in request.message) || request.message.requestId !== "";
}

/** The same messages; what ends them is another error. */
async function* failingWith<T>(messages: AsyncIterable<T>, errorFor: (error: unknown) => ConnectError) {
  try {
    yield* messages;
  } catch (error) {
    throw errorFor(error);
  }
}
