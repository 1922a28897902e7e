import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/**
 * CPU that processes have used in user and kernel mode, all their threads and their ended children together, in
 * microseconds. What has ended counts for its parent. The operating system counts in steps of 10 ms.
 */
export function cpuMicroseconds(pids: readonly number[]): number {
  const ticks = pids.flatMap((pid) => {
    // Fields 14 to 17: utime, stime, cutime, cstime.
    return statFields(pid)?.slice(11, 15).map(Number) ?? [];
  });
  return (ticks.reduce((sum, each) => sum + each, 0) / ticksPerSecond) * 1e6;
}

/** A process and all that descend from it. */
export function processTree(root: number): number[] {
  const parents = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ pid: Number(name), parent: Number(statFields(Number(name))?.[1]) }));
  const tree = [root];
  for (const parent of tree) {
    tree.push(...parents.filter((each) => each.parent === parent).map(({ pid }) => pid));
  }
  return tree;
}

/** Fields of /proc/<pid>/stat from the third on; undefined when the process has ended. */
function statFields(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name before them may contain blanks.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}
