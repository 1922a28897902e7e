import type { AnyRequest, RequestHandler } from "../listener/request-handler.ts";

/** A timer that is set for longer fires at once, in milliseconds. */
export const longestTimerMs = 2 ** 31 - 1;

/** The units of the header grpc-timeout that can say more than that, in milliseconds. */
const longUnitsMs: Readonly<Record<string, number>> = { S: 1_000, M: 60_000, H: 3_600_000 };

/** Takes a deadline that is further away than a timer can tell (24 days) for none. */
export function withoutLongTimeouts(handler: RequestHandler): RequestHandler {
  return (request, response) => {
    dropWhenLong(request, "grpc-timeout", (text) => Number.parseInt(text, 10) * (longUnitsMs[text.slice(-1)] ?? 0));
    dropWhenLong(request, "connect-timeout-ms", Number);
    handler(request, response);
  };
}

function dropWhenLong({ headers }: AnyRequest, name: string, toMs: (text: string) => number): void {
  const text = headers[name];
  if (typeof text === "string" && /^\d+[A-Z]?$/.test(text) && toMs(text) > longestTimerMs) {
    delete headers[name];
  }
}
