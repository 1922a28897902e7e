/**
 * Cleans up after a process that cannot do it any more: waits until its standard input ends, which it does however the
 * other side ended, then kills the processes whose ids the last line named, as a JSON array, with all that descends
 * from them, and removes the directory argv[2] of PostgreSQL servers.
 */
import { globSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { killTree } from "./postgres-processes.ts";
import { removeSharedMemory } from "./postgres-shared-memory.ts";

const [, , directory = ""] = process.argv;
let pids: number[] = [];
for await (const line of createInterface(process.stdin)) {
  pids = JSON.parse(line);
}
for (const pid of pids) {
  killTree(pid);
}
for (const data of globSync(`${directory}/*/data`)) {
  removeSharedMemory(data);
}
// What was killed may still be about to create a file.
rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
