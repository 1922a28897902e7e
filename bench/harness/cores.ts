import { readFileSync } from "node:fs";

/** Cores that this process may use, as the operating system numbers them. */
export const allowedCores: readonly number[] = parseCores(
  /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0",
);

/** For `taskset -c`: the one core of the server under test, the one of the load, and all of them. */
export const cores = {
  server: `${allowedCores[0] ?? 0}`,
  load: `${allowedCores[1] ?? allowedCores[0] ?? 0}`,
  all: allowedCores.join(","),
} as const;

/** The numbers in a list such as "0-2,5". */
function parseCores(list: string): number[] {
  return list.split(",").flatMap((range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}
