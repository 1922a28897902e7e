import type { HandlerContext } from "@connectrpc/connect";

/** The longest wait, in milliseconds: below the idle timeout of 60 s that proxies commonly have. */
const longestWaitMs = 55_000;
const defaultWaitMs = 30_000;
/** Part of the caller's deadline that is left for the answer's way back: a twentieth, at least 20 ms. */
const answerShare = 0.05;
const answerMinimumMs = 20;

/** How long a call that waits may wait, in milliseconds: as asked (default 30 s), at most 55 s, within its deadline. */
export function waitTimeMs(askedMs: number | undefined, context: HandlerContext): number {
  return Math.min(askedMs ?? defaultWaitMs, longestWaitMs, timeLeftMs(context));
}

/** How long the caller will wait for an answer, less the time it needs to get back. */
function timeLeftMs(context: HandlerContext): number {
  const leftMs = context.timeoutMs();
  return leftMs === undefined ? longestWaitMs : leftMs - Math.max(answerMinimumMs, leftMs * answerShare);
}
