/**
 * The revision that follows `previous` at a time: microseconds since the epoch, or one more than the previous where the
 * clock is not ahead of it.
 *
 * A counter would not do: progress lives in memory, so a counter would repeat numbers after a crash, and a client that
 * still holds one would be told "not modified" of a state it has never seen. (This is the rule of a hybrid logical
 * clock, Kulkarni et al., "Logical Physical Clocks", 2014, in one number.)
 */
export function nextRevision(previous: bigint, nowMs: number): bigint {
  const now = revisionAt(nowMs);
  return now > previous ? now : previous + 1n;
}

/** The least revision that is given at a time. */
export function revisionAt(nowMs: number): bigint {
  return BigInt(Math.trunc(nowMs)) * 1000n;
}
