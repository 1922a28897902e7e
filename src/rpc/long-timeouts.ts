import type { AnyRequest, RequestHandler } from "../listener/request-handler.ts";

/** A timer that is set for longer fires at once. */
const longestTimerMs = 2 ** 31 - 1;

/** The units of the header grpc-timeout that can say more than that, in milliseconds. */
const longUnitsMs: Readonly<Record<string, number>> = { S: 1_000, M: 60_000, H: 3_600_000 };

/** Takes a deadline that is further away than a timer can tell (24 days) for none. */
export function withoutLongTimeouts(handler: RequestHandler): RequestHandler {
  return (request, response) => {
    dropIf(request, "grpc-timeout", isLongGrpcTimeout);
    dropIf(request, "connect-timeout-ms", isLongConnectTimeout);
    handler(request, response);
  };
}

/** Whether a header grpc-timeout tells of a deadline that is further away than a timer can tell. */
export function isLongGrpcTimeout(text: string): boolean {
  return isLong(text, () => Number.parseInt(text, 10) * (longUnitsMs[text.slice(-1)] ?? 0));
}

/** The same of a header connect-timeout-ms. */
export function isLongConnectTimeout(text: string): boolean {
  return isLong(text, Number);
}

function isLong(text: string, toMs: (text: string) => number): boolean {
  return /^\d+[A-Z]?$/.test(text) && toMs(text) > longestTimerMs;
}

function dropIf({ headers }: AnyRequest, name: string, isToDrop: (text: string) => boolean): void {
  const text = headers[name];
  if (typeof text === "string" && isToDrop(text)) {
    delete headers[name];
  }
}
