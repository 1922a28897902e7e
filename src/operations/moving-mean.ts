/** How much the newest value counts against all before it. */
const newestWeight = 0.5;

/** A mean in which newer values weigh more: the one before, moved half the way to the newest value. 0 is none so far. */
export function movingMean(before: number, newest: number): number {
  return before === 0 ? newest : before + newestWeight * (newest - before);
}
