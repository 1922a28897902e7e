import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import type { PollingClock } from "./polling-clock.ts";

/** How long and until when a call is tried again. */
export interface RetryOptions {
  /** Ends the trying. */
  readonly signal?: AbortSignal;
  /** How long a server that cannot be reached is tried again, in milliseconds. Default 30 000; 0 gives up at once. */
  readonly retryForMs?: number;
}

const firstBackoffMs = 200;
const maximumBackoffMs = 5_000;

/**
 * Calls until the server answers, waiting longer from try to try and at random, so that clients do not return in step;
 * at least as long as the server's google.rpc.RetryInfo says, which also asks for a retry of what it refuses for now,
 * such as one call too many. Of a poll, `paceMs` is the time between two calls: trouble makes nobody poll faster, but
 * there is one try when `retryForMs` ends before it. Undefined when the signal ends that.
 * Throws what the server refuses the call with, and the last error once `retryForMs` is over.
 */
export async function retryUnreachable<T>(
  call: () => Promise<T>,
  { signal, retryForMs = 30_000 }: RetryOptions,
  clock: PollingClock,
  paceMs = 0,
): Promise<T | undefined> {
  const giveUpAtMs = clock.now() + retryForMs;
  for (let backoffMs = firstBackoffMs; ; backoffMs = Math.min(backoffMs * 2, maximumBackoffMs)) {
    if (signal?.aborted) return undefined;
    try {
      return await call();
    } catch (error) {
      if (signal?.aborted) return undefined;
      const askedMs = askedPauseMs(error);
      const leftMs = giveUpAtMs - clock.now();
      const pauseMs = Math.max(backoffMs * (0.75 + clock.random() / 2), Math.min(paceMs, leftMs), askedMs ?? 0);
      if ((askedMs === undefined && !isUnreachable(error)) || pauseMs > leftMs) throw error;
      await clock.pause(pauseMs, signal);
    }
  }
}

/** Whether an error says that the server cannot be reached now, rather than that it refuses. */
export function isUnreachable(error: unknown): boolean {
  const { code } = ConnectError.from(error);
  return code === Code.Unavailable || code === Code.DeadlineExceeded;
}

function askedPauseMs(error: unknown): number | undefined {
  const [info] = ConnectError.from(error).findDetails(RetryInfoSchema);
  return info?.retryDelay && durationMs(info.retryDelay);
}
