import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { AnyResponse, RequestHandler, StreamHandler } from "./request-handler.ts";
import type { SlowCalls } from "./slow-calls.ts";

/** What stands between the connections and the handler. */
export interface Guard {
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  readonly slowCalls: SlowCalls;
  /** Whether an HTTP/1.1 connection is to end with the next answer. */
  readonly isLast: (socket: Socket) => boolean;
}

/** Puts a guard in front of a handler: requests it cannot cope with are answered here. */
export function guardedHandler(handler: RequestHandler, guard: Guard): RequestHandler {
  return (request, response) => {
    guard.slowCalls.begin(request, response);
    if (!("stream" in request) && guard.isLast(request.socket)) {
      // Node.js tells the client so in the header "connection".
      (response as ServerResponse).shouldKeepAlive = false;
    }
    if (!isWithin(request.rawHeaders, guard)) {
      refuse(response, 431);
      return;
    }
    try {
      handler(request, response);
    } catch {
      // It makes a URL of authority and path before anything else; and of a request that was reset nothing is left.
      refuse(response, 400);
    }
  };
}

/** Takes a request on its bare stream; false when others have to. `rawHeaders` are names and values by turns. */
export type StreamTaker = (...of: [...Parameters<StreamHandler>, rawHeaders: readonly string[]]) => boolean;

/** Puts the same guard in front of a handler of streams: what does not pass is left to the guarded handler to refuse. */
export function guardedStreams(handler: StreamHandler, guard: Guard): StreamTaker {
  return (stream, headers, rawHeaders) => {
    const isTaken = isWithin(rawHeaders, guard) && handler(stream, headers);
    if (isTaken) {
      guard.slowCalls.beginStream(stream);
    }
    return isTaken;
  };
}

/** Node.js itself leaves out the headers that are too many, and lets HTTP/2 requests have much longer ones. */
function isWithin(rawHeaders: readonly string[], { maxHeaderBytes, maxHeaders }: Guard): boolean {
  let bytes = 0;
  for (const text of rawHeaders) {
    bytes += text.length;
  }
  return bytes <= maxHeaderBytes && rawHeaders.length <= 2 * maxHeaders;
}

function refuse(response: AnyResponse, status: number): void {
  response.statusCode = status;
  (response as ServerResponse).end();
}
