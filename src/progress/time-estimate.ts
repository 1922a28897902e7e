/** What is known of a run. */
export interface RunSoFar {
  /** How far it has come, 0 to 100. */
  readonly percentage: number;
  /** How long it has been running, in milliseconds. */
  readonly elapsedMs: number;
  /** How long earlier runs of the type took, in milliseconds. Unset when there were none. */
  readonly earlierRunMs?: number;
}

/** Ten years: nothing runs that long, and the protocol's Duration ends at 10,000. */
const longestEstimateMs = 10 * 366 * 24 * 3_600_000;

/**
 * Time to the end of a run, in milliseconds; undefined when there is nothing to estimate from.
 *
 * With p the share done (0 to 1), e the elapsed time and h the duration of earlier runs, the run's own rate leaves
 * e · (1 − p) / p, and the earlier rate leaves h · (1 − p). They are blended by the share done, because the run says
 * the more about itself the further it is:
 *
 *     remaining = p · e · (1 − p) / p + (1 − p) · h · (1 − p) = (1 − p) · (e + (1 − p) · h)
 *
 * Without earlier runs the own rate counts alone, and before the first percent the earlier duration: max(h − e, 0).
 */
export function estimateRemainingMs({ percentage, elapsedMs, earlierRunMs }: RunSoFar): number | undefined {
  const done = Math.min(Math.max(percentage, 0), 100) / 100;
  const elapsed = Math.max(elapsedMs, 0);
  if (!Number.isFinite(done) || !Number.isFinite(elapsed)) return undefined;
  if (earlierRunMs === undefined || !Number.isFinite(earlierRunMs)) {
    return sensible((elapsed * (1 - done)) / done);
  }
  if (done === 0) return Math.max(earlierRunMs - elapsed, 0);
  return sensible((1 - done) * (elapsed + (1 - done) * Math.max(earlierRunMs, 0)));
}

/** What a run that has hardly begun extrapolates to is no estimate. */
function sensible(remainingMs: number): number | undefined {
  return remainingMs <= longestEstimateMs ? remainingMs : undefined;
}
