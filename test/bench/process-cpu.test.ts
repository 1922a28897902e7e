import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { cpuMicroseconds, processTree } from "../../bench/harness/process-cpu.ts";

const isLinux = process.platform === "linux";
if (!isLinux) {
  process.stderr.write("bench: the CPU of a process is read from /proc, which only Linux has; its tests do not run\n");
}
const testOnLinux = test.skipIf(!isLinux);

testOnLinux("CPU of a process grows with its work, and what has ended has none of its own", async () => {
  const before = cpuMicroseconds([process.pid]);
  const untilMs = process.cpuUsage().user + 50_000;
  while (process.cpuUsage().user < untilMs) {}
  expect(cpuMicroseconds([process.pid]) - before).toBeGreaterThanOrEqual(30_000);
  const child = spawn(process.execPath, ["-e", "0"]);
  await once(child, "exit");
  expect(cpuMicroseconds([child.pid ?? 0])).toBe(0);
});

testOnLinux("a process tree has the process, its children and theirs", async () => {
  const child = spawn("sh", ["-c", "sleep 60 & echo $!; wait"]);
  try {
    const [line] = await once(child.stdout, "data");
    const grandchild = Number(String(line));
    expect(processTree(process.pid)).toEqual(expect.arrayContaining([process.pid, child.pid, grandchild]));
    expect(processTree(child.pid ?? 0)).toEqual([child.pid, grandchild]);
    process.kill(grandchild);
  } finally {
    child.kill("SIGKILL");
  }
});
