/** CPU time of this thread so far, in milliseconds. Some systems tell it in steps of a few milliseconds. */
export function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

/**
 * The longest time that a call keeps everything else in the process waiting, in milliseconds of the thread's CPU time:
 * what other processes take does not count.
 */
export async function heldBy(call: () => Promise<unknown>): Promise<number> {
  let longestMs = 0;
  let lastMs = threadMs();
  let isOver = false;
  const turn = () => {
    longestMs = Math.max(longestMs, threadMs() - lastMs);
    lastMs = threadMs();
    if (!isOver) {
      // Not setImmediate: that would keep the thread busy while the call waits.
      setTimeout(turn, 1);
    }
  };
  setTimeout(turn, 0);
  await call();
  isOver = true;
  await new Promise((resolve) => setTimeout(resolve, 2));
  return longestMs;
}
