import { constants, type ServerHttp2Stream } from "node:http2";
import type { AnyRequest, AnyResponse } from "./request-handler.ts";

/** The calls that are open, so that clients which trickle a request or do not take an answer can be cut off. */
export interface SlowCalls {
  begin(request: AnyRequest, response: AnyResponse): void;
  /** The same for a call that is answered on its bare stream. */
  beginStream(stream: ServerHttp2Stream): void;
  /** Cuts off the calls whose client has taken too long. */
  look(nowMs: number): void;
}

interface OpenCall {
  readonly request: AnyRequest | ServerHttp2Stream;
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
  const calls = new Map<AnyResponse | ServerHttp2Stream, OpenCall>();
  function forget(this: ServerHttp2Stream): void {
    calls.delete(this);
  }
  return {
    begin: (request, response) => {
      calls.set(response, { request, beganMs: performance.now() });
      response.once("close", () => calls.delete(response));
    },
    beginStream: (stream) => {
      calls.set(stream, { request: stream, beganMs: performance.now() });
      stream.on("close", forget);
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
function isComplete(request: OpenCall["request"]): boolean {
  return ("complete" in request && request.complete) || streamOf(request)?.state.remoteClose === 1;
}

function cutOff(request: OpenCall["request"]): void {
  const stream = streamOf(request);
  if (stream) {
    stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  } else if ("socket" in request) {
    request.socket.destroy();
  }
}

function streamOf(request: OpenCall["request"]): ServerHttp2Stream | undefined {
  return "respond" in request ? request : "stream" in request ? request.stream : undefined;
}
