import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/**
 * CPU that processes have used in user and kernel mode, all their threads and their ended children together, in
 * microseconds. The operating system counts in steps of 10 ms.
 */
export function cpuMicroseconds(pids: readonly number[]): number {
  const ticks = pids.map((pid) => {
    // Fields 14 to 17: utime, stime, cutime, cstime. The name, field 2, may contain blanks.
    const [utime = 0, stime = 0, cutime = 0, cstime = 0] = statFields(pid).slice(11, 15).map(Number);
    return utime + stime + cutime + cstime;
  });
  return (ticks.reduce((sum, each) => sum + each, 0) / ticksPerSecond) * 1e6;
}

/** A process and all that descend from it. */
export function processTree(root: number): number[] {
  const parents = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        return [{ pid: Number(name), parent: Number(statFields(Number(name))[1]) }];
      } catch {
        // It has ended meanwhile.
        return [];
      }
    });
  const tree = [root];
  for (const parent of tree) {
    tree.push(...parents.filter((each) => each.parent === parent).map(({ pid }) => pid));
  }
  return tree;
}

/** Fields of /proc/<pid>/stat from the third on. */
function statFields(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}
