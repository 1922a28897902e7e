import {
  BrokenCircuitError,
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  ExponentialBackoff,
  handleWhenResult,
} from "cockatiel";
import type { HostAnswer } from "./host-answer.ts";

/** Calls in a row that a host must leave unanswered before it is left alone. */
const silentCalls = 5;

/** How long a silent host is left alone before it is tried again, in milliseconds; the time doubles. */
export interface HostBackoff {
  readonly firstMs: number;
  readonly maximumMs: number;
}

/** Keeps calls away from a host that does not answer. */
export interface HostBreaker {
  /** Calls are let through. */
  readonly isClosed: boolean;
  /** Calls the host, or answers at once as the last call that it left unanswered. */
  run<T>(call: () => Promise<HostAnswer<T>>): Promise<HostAnswer<T>>;
}

/**
 * Makes a circuit breaker: once a host has left some calls in a row unanswered, each of which has taken its full time,
 * the next ones are answered at once as unreachable, but for one at a time that tries the host again.
 */
export function createHostBreaker(url: string, { firstMs, maximumMs }: HostBackoff): HostBreaker {
  let lastReason = `host ${url} does not answer`;
  const isSilence = (answer: unknown) => {
    const { outcome, isSilent } = answer as { outcome: string; isSilent?: boolean };
    return outcome === "unreachable" && isSilent === true;
  };
  const breaker = circuitBreaker(handleWhenResult(isSilence), {
    halfOpenAfter: new ExponentialBackoff({ initialDelay: firstMs, maxDelay: maximumMs }),
    breaker: new ConsecutiveBreaker(silentCalls),
  });
  return {
    get isClosed() {
      return breaker.state === CircuitState.Closed;
    },
    async run<T>(call: () => Promise<HostAnswer<T>>): Promise<HostAnswer<T>> {
      try {
        const answer = await breaker.execute(call);
        if (answer.outcome === "unreachable") {
          lastReason = answer.reason;
        }
        return answer;
      } catch (error) {
        if (error instanceof BrokenCircuitError) {
          // In the same words, so that being left alone is no news of its own.
          return { outcome: "unreachable", reason: lastReason, isSilent: true };
        }
        throw error;
      }
    },
  };
}
