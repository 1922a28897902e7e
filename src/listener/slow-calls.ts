import { constants } from "node:http2";
import type { AnyRequest, AnyResponse } from "./request-handler.ts";

/** The calls that are open, so that clients which trickle a request or do not take an answer can be cut off. */
export interface SlowCalls {
  begin(request: AnyRequest, response: AnyResponse): void;
  /** Cuts off the calls whose client has taken too long. */
  look(nowMs: number): void;
}

interface OpenCall {
  readonly request: AnyRequest;
  readonly beganMs: number;
  /** When the answer was first seen to be ready, but not taken. */
  answeredMs?: number;
}

/**
 * Watches open calls. A client has `timeoutMs` to send a request and as long again to take the answer; what the server
 * takes in between does not count.
 */
export function createSlowCalls(timeoutMs: number): SlowCalls {
  // The oldest come first.
  const calls = new Map<AnyResponse, OpenCall>();
  return {
    begin: (request, response) => {
      calls.set(response, { request, beganMs: performance.now() });
      response.once("close", () => calls.delete(response));
    },
    look: (nowMs) => {
      for (const [response, call] of calls) {
        if (nowMs - call.beganMs < timeoutMs) {
          return;
        }
        if (response.writableEnded) {
          call.answeredMs ??= nowMs;
          if (nowMs - call.answeredMs >= timeoutMs) {
            cutOff(call.request);
          }
        } else if (!isComplete(call.request)) {
          cutOff(call.request);
        }
      }
    },
  };
}

/** Whether all of a request has come, read or not. */
function isComplete(request: AnyRequest): boolean {
  return request.complete || ("stream" in request && request.stream.state.remoteClose === 1);
}

function cutOff(request: AnyRequest): void {
  if ("stream" in request) {
    request.stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  } else {
    request.socket.destroy();
  }
}
