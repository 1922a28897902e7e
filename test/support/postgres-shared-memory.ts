import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The System V segment (its shmid) that the server on a data directory has, or had when it was killed. */
export function sharedMemoryOf(data: string): string | undefined {
  const path = join(data, "postmaster.pid");
  return existsSync(path) ? readFileSync(path, "utf8").split("\n")[6]?.trim().split(/\s+/)[1] : undefined;
}

/**
 * Removes the segment of a killed server: only the next start on its data would, and there is a limit of 4096 on a
 * machine. Without the program ipcrm it stays, 56 bytes long.
 */
export function removeSharedMemory(data: string): void {
  const id = sharedMemoryOf(data);
  if (id !== undefined) {
    spawnSync("ipcrm", ["-m", id], { stdio: "ignore" });
  }
}
