/** What polling needs to know of time and chance; tests bring their own. */
export interface PollingClock {
  /** Milliseconds since any fixed instant; never goes back. */
  now(): number;
  /** Resolves after the time in milliseconds, or when the signal aborts. */
  pause(ms: number, signal?: AbortSignal): Promise<void>;
  /** From 0 up to 1. */
  random(): number;
}

/** The process's own clock. */
export const systemClock: PollingClock = {
  now: () => performance.now(),
  random: Math.random,
  pause: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted || ms <= 0) {
        resolve();
        return;
      }
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal?.addEventListener("abort", done, { once: true });
    }),
};
