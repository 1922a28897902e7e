import type { Interceptor } from "@connectrpc/connect";
import type { Logger } from "pino";
import { CallError } from "../operations/errors.ts";
import { connectErrorFrom } from "./call-errors.ts";
import { originKey, readOrigin } from "./read-origin.ts";

/** What every call goes through: it learns how it came here, and whatever it throws becomes one kind of error. */
export function createEdgeInterceptor(instanceId: string, maxHops: number, log: Logger): Interceptor {
  return (next) => async (request) => {
    try {
      request.contextValues.set(originKey, readOrigin(request.header, instanceId, maxHops));
      return await next(request);
    } catch (error) {
      const answer = connectErrorFrom(error);
      if (!(error instanceof CallError) || error.details.cause !== undefined) {
        log.error({ err: error, method: request.method.name, code: answer.code }, "a call failed");
      }
      throw answer;
    }
  };
}
