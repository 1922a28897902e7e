import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

/** A process as the kernel knows it. Two with the same id and start are one process; an id alone is used again. */
export interface Process {
  readonly pid: number;
  readonly parent: number;
  /** A letter: T is stopped, Z has ended. */
  readonly state: string;
  readonly started: string;
}

/** How long processes may take to stop: one that waits for a slow disk does so only after that. */
const stopTimeoutMs = 10_000;
/** How long processes may take to end by themselves. A backend that computes does not see that its postmaster died. */
const patienceMs = 2_000;

/**
 * Stops (SIGSTOP) a process and everything that descends from it. Answers them, or nothing when it has ended already.
 * Throws when one of them does not stop within 10 s.
 */
export function freezeTree(pid: number): readonly Process[] {
  const deadline = Date.now() + stopTimeoutMs;
  let known = -1;
  while (Date.now() < deadline) {
    const tree = processTree(pid);
    const running = tree.filter(({ state }) => !/^t/i.test(state));
    // One that was about to fork when the signal came may have done so behind the first look at its children.
    if (running.length === 0 && tree.length === known) {
      return tree;
    }
    known = tree.length;
    signalAll(running, "SIGSTOP");
  }
  throw new Error(`process ${pid} or a descendant does not stop`);
}

/** Kills a process and everything that descends from it. */
export function killTree(pid: number): void {
  signalAll(freezeTree(pid), "SIGKILL");
}

/** Sends a signal to those that have not ended. */
export function signalAll(targets: readonly Process[], signal: NodeJS.Signals): void {
  for (const { pid } of stillThere(targets)) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") {
        throw error;
      }
    }
  }
}

/** Resolves when all have ended. Those that do not do so by themselves are killed after 2 s. */
export async function ended(targets: readonly Process[]): Promise<void> {
  const deadline = Date.now() + patienceMs;
  while (stillThere(targets).length > 0) {
    if (Date.now() > deadline) {
      signalAll(targets, "SIGKILL");
    }
    await delay(5);
  }
}

/** Those that have not ended. */
export function stillThere(targets: readonly Process[]): Process[] {
  const running = new Set(processes().map(identity));
  return targets.filter((target) => running.has(identity(target)));
}

function identity({ pid, started }: Process): string {
  return `${pid} ${started}`;
}

/** A process and everything that descends from it, parents first. Nothing when it has ended. */
export function processTree(root: number): Process[] {
  const all = processes();
  const tree = all.filter(({ pid }) => pid === root);
  for (const { pid } of tree) {
    tree.push(...all.filter(({ parent }) => parent === pid));
  }
  return tree;
}

/** All that run. A zombie does not: where process 1 is no init, nobody ever collects an orphan. */
function processes(): Process[] {
  const all = existsSync("/proc/self/stat") ? processesOfProc() : processesOfPs();
  return all.filter(({ state }) => !state.startsWith("Z"));
}

function processesOfProc(): Process[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const stat = readIfThere(`/proc/${name}/stat`);
      // The second field is the program's name in brackets and may hold anything, brackets and blanks too.
      const [state, parent, ...others] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const started = others[17];
      return state && started ? [{ pid: Number(name), parent: Number(parent), state, started }] : [];
    });
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function processesOfPs(): Process[] {
  const columns = ["pid=", "ppid=", "stat=", "lstart="].flatMap((column) => ["-o", column]);
  const lines = execFileSync("ps", ["-A", ...columns], { encoding: "utf8" })
    .trim()
    .split("\n");
  return lines.map((line) => {
    const [pid, parent, state = "", ...started] = line.trim().split(/\s+/);
    return { pid: Number(pid), parent: Number(parent), state, started: started.join(" ") };
  });
}
